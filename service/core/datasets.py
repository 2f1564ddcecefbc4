"""What a dataset is, once its definition is read: the one source for refine's SQL, the Parquet schema, the tables."""

import re
from dataclasses import dataclass
from datetime import date
from typing import Literal

from service.core.columns import HASH_BYTES, LAST4_BYTES, ColumnType

LAKE_SCHEMA = "lake"
"""Where analysts find the tables of the datasets that are defined."""
SERVICE_SCHEMA = "acequia"
"""Where the service keeps what is its own, for those who operate it."""
NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")

UNDEFINED = ""
"""In the place of a dataset's name: notices of ours about datasets that have no definition in this process."""

SYSTEM_COLUMNS: tuple[tuple[str, str], ...] = (
    ("_record_id", "varchar(64)"),
    ("_received_at", "timestamp"),
    ("_raw_file", "varchar(1024)"),
)


@dataclass(frozen=True, slots=True)
class Column:
    """One mapped field. `path` is where it lies in the record; `type` is what the record must hold there."""

    name: str
    path: tuple[str, ...]
    type: ColumnType
    required: bool
    mask: Literal["hash", "redact", "last4"] | None
    truncate: bool

    @property
    def stored(self) -> ColumnType:
        """The type in files and tables: a mask has a width of its own."""
        match self.mask:
            case "hash":
                return ColumnType("varchar", length=HASH_BYTES)
            case "last4":
                return ColumnType("varchar", length=LAST4_BYTES)
            case _:
                return self.type


@dataclass(frozen=True, slots=True)
class Dataset:
    """A definition, read and checked. `definition` is its hash: files written under another one are other files."""

    name: str
    identity: Literal["key", "content", "message"]
    key: tuple[str, ...]
    event_time: str
    partition: Literal["day", "hour"]
    rest: str | None
    event_time_oldest: date
    event_time_future_days_max: int
    columns: tuple[Column, ...]
    diststyle: str
    definition: str
    version: str | None = None
    """`on_duplicate = "replace"`: of two rows of one record, the one that is higher here stays."""
    duplicate_window_days: int | None = None
    """How far apart in event time two deliveries of one record may lie; unlimited when None."""
    schema: str = LAKE_SCHEMA
    """Where its table is."""

    @property
    def stored_columns(self) -> tuple[tuple[str, str], ...]:
        """(name, type) of every column in files and tables, in order."""
        mapped = tuple((c.name, str(c.stored)) for c in self.columns)
        rest = ((self.rest, "super"),) if self.rest is not None else ()
        return (*mapped, *rest, *SYSTEM_COLUMNS)

    @property
    def never_null(self) -> frozenset[str]:
        """The stored columns that every row has."""
        return frozenset({*(c.name for c in self.columns if c.required), *dict(SYSTEM_COLUMNS)})

    @property
    def duplicate_days(self) -> int | None:
        """How far from a row's event time a row of the same record can lie: nowhere else when it is part of the key."""
        return 0 if self.event_time in self.key else self.duplicate_window_days

    def column(self, name: str) -> Column:
        """A mapped column by name."""
        return next(c for c in self.columns if c.name == name)


def sound(name: str, written: str) -> bool:
    """Whether some definition could have such a stored column: only then do its words go into SQL."""
    if (name, written) in SYSTEM_COLUMNS:
        return True
    try:
        kind = ColumnType.parse("double" if written == "double precision" else written)
    except ValueError:
        return False
    return NAME.fullmatch(name) is not None and str(kind) == written
