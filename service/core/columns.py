"""Column types of a dataset, as the definition writes them and as Redshift takes them."""

import re
from dataclasses import dataclass

VARCHAR_BYTES_MAX = 65_535
DECIMAL_DIGITS_MAX = 38
HASH_BYTES = 64
LAST4_BYTES = 20
"""Four asterisks and four characters of at most four bytes."""

PLAIN = ("smallint", "integer", "bigint", "double", "boolean", "date", "timestamp", "super")
KNOWN = (*PLAIN, "decimal(p,s)", "varchar(n)")

_WRITTEN = re.compile(r"(?P<kind>[a-z]+)(?:\((?P<first>\d{1,5})(?:,\s*(?P<second>\d{1,2}))?\))?")


@dataclass(frozen=True, slots=True)
class ColumnType:
    """`length` counts bytes (Redshift's VARCHAR does); `precision` and `scale` count digits."""

    kind: str
    length: int = 0
    precision: int = 0
    scale: int = 0

    @classmethod
    def parse(cls, written: object) -> "ColumnType":
        """Read a definition's `type`; raises ValueError with what would be right."""
        found = _WRITTEN.fullmatch(written.strip().lower()) if isinstance(written, str) else None
        kind, first, second = (found["kind"], found["first"], found["second"]) if found else ("", None, None)
        if kind in PLAIN and first is None:
            return cls(kind)
        if kind == "varchar" and first is not None and second is None:
            if not 1 <= int(first) <= VARCHAR_BYTES_MAX:
                raise ValueError(f"varchar takes 1 to {VARCHAR_BYTES_MAX} bytes")
            return cls("varchar", length=int(first))
        if kind == "decimal" and first is not None and second is not None:
            if not 1 <= int(first) <= DECIMAL_DIGITS_MAX or int(second) > int(first):
                raise ValueError(f"decimal(p,s) takes p from 1 to {DECIMAL_DIGITS_MAX} and s up to p")
            return cls("decimal", precision=int(first), scale=int(second))
        raise ValueError(f"type {written!r} is not known; use one of {', '.join(KNOWN)}")

    def __str__(self) -> str:
        """As Redshift's CREATE TABLE takes it."""
        match self.kind:
            case "varchar":
                return f"varchar({self.length})"
            case "decimal":
                return f"decimal({self.precision},{self.scale})"
            case "double":
                return "double precision"
            case kind:
                return kind
