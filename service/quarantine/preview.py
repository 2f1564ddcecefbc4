"""The masked preview of a rejected record: what of it analysts would have seen, for people who look for the cause.

Only declared columns appear, with values as they were written; masked ones as asterisks, an object or
a list only where the column takes one, unmapped fields not at all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import msgspec

from service.core.datasets import Column, Dataset

PREVIEW_BYTES_MAX = 4_096
VALUE_BYTES_MAX = 256
"""What stays of a long value where all together would be too long; it is given as text then."""
MASKED = msgspec.Raw(b'"***"')
NESTED = {b"{": msgspec.Raw(b'"{...}"'), b"[": msgspec.Raw(b'"[...]"')}
"""In the place of an object or a list where the column takes none."""
_NULL = b"null"
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ENCODER = msgspec.json.Encoder()

_Path = tuple[str, ...]
_Object = Mapping[str, msgspec.Raw]


@dataclass(frozen=True, slots=True)
class Shown:
    """A column as previews show it: its name, its field in the object that holds it, whether it is masked."""

    name: str
    field: str
    masked: bool
    nested: bool
    """Whether objects and lists are shown: analysts see them in such columns alone."""


@dataclass(frozen=True, slots=True)
class Preview:
    """How records of one dataset are shown. Where not all has room, the column that failed has."""

    holders: Sequence[tuple[_Path, Sequence[Shown]]]
    failed: str | None

    @classmethod
    def of(cls, dataset: Dataset, failed: str | None) -> "Preview":
        """A column that holds a masked one inside itself is masked too."""
        masked = [column.path for column in dataset.columns if column.mask is not None]
        by_holder = sorted(dataset.columns, key=lambda column: column.path[:-1])
        return cls(
            [
                (path, [_shown(column, masked) for column in columns])
                for path, columns in groupby(by_holder, key=lambda column: column.path[:-1])
            ],
            failed,
        )

    def __call__(self, record: str) -> str | None:
        """A JSON object of at most 4,096 bytes; None where the text is no JSON object, or has no declared field."""
        try:
            objects: dict[_Path, _Object | None] = {(): _OBJECT.decode(record)}
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return None
        values: dict[str, msgspec.Raw] = {}
        for path, columns in self.holders:
            holder = _holder(objects, path)
            if holder is None:
                continue
            for column in columns:
                value = holder.get(column.field)
                if value is not None:
                    values[column.name] = _seen(column, value)
        return self._written(values) if values else None

    def _written(self, values: Mapping[str, msgspec.Raw]) -> str:
        whole = _ENCODER.encode(values)
        if len(whole) <= PREVIEW_BYTES_MAX:
            return whole.decode()
        kept: dict[str, msgspec.Raw] = {}
        room = PREVIEW_BYTES_MAX - len("{}")
        for name, value in sorted(values.items(), key=lambda one: one[0] != self.failed):
            cut = _cut(value)
            room_needed = len(name) + len('"":,') + len(bytes(cut))
            if room_needed <= room:
                kept[name] = cut
                room -= room_needed
        return _ENCODER.encode(kept).decode()


def _shown(column: Column, masked: Sequence[_Path]) -> Shown:
    return Shown(column.name, column.path[-1], _hides(column, masked), nested=column.type.kind == "super")


def _seen(column: Shown, value: msgspec.Raw) -> msgspec.Raw:
    """The value as people may see it."""
    text = bytes(value).lstrip()
    if column.masked:
        return value if text == _NULL else MASKED
    return value if column.nested or text[:1] not in NESTED else NESTED[text[:1]]


def _hides(column: Column, masked: Sequence[_Path]) -> bool:
    """Whether the column is one of these, or holds one."""
    return any(path[: len(column.path)] == column.path for path in masked)


def _holder(objects: dict[_Path, _Object | None], path: _Path) -> _Object | None:
    """The object that lies there, read once for all columns in it; None where something else does, or nothing."""
    if path not in objects:
        above = _holder(objects, path[:-1])
        found = None if above is None else above.get(path[-1])
        try:
            objects[path] = None if found is None else _OBJECT.decode(found)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            objects[path] = None
    return objects[path]


def _cut(value: msgspec.Raw) -> msgspec.Raw:
    text = bytes(value)
    if len(text) <= VALUE_BYTES_MAX:
        return value
    return msgspec.Raw(_ENCODER.encode(text[: VALUE_BYTES_MAX // 2].decode(errors="ignore") + "…"))
