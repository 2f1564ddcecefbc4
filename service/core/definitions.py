"""Reads dataset definitions: `datasets/<name>.toml`.

A broken file raises DefinitionError: the file, the column, what is wrong and what would be right.
"""

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, Literal, NoReturn

from service.core.columns import ColumnType
from service.core.datasets import NAME, Column, Dataset
from service.core.errors import DefinitionError
from service.core.errors_dataset import ERRORS

PATH_PART = re.compile(r'(?!\*$)[^"\\\x00-\x1f]+')
"""A lone asterisk would ask for every field."""
COMPILER = 1
"""Raised when refine's SQL changes what it makes of the same definition, so that a replay writes other objects."""
FUTURE_DAYS_MAX = 36_500
COLUMNS_MAX = 1_500
"""Redshift allows 1,600 columns a table; ours and later additions need room."""
VERSION_KINDS = ("smallint", "integer", "bigint", "decimal", "timestamp", "date")
"""Types whose order nobody can doubt."""
RESERVED = {"oid", "tableoid", "xmin", "cmin", "xmax", "cmax", "ctid", "insertxid", "deletexid"}

_TABLE = {"diststyle", "on_duplicate", "version", "duplicate_window_days"}
"""What concerns the table alone: files are the same under another value of these."""
_TOP = {
    "key",
    "identity",
    "event_time",
    "partition",
    "rest",
    "event_time_oldest",
    "event_time_future_days_max",
    "column",
    *_TABLE,
}
_COLUMN = {"name", "path", "type", "required", "mask", "too_long"}


def load_datasets(directory: Path) -> dict[str, Dataset]:
    """Read every definition in the directory; raises DefinitionError at the first that is wrong."""
    files = sorted(directory.glob("*.toml"))
    if not files:
        raise DefinitionError(f"{directory}: holds no dataset definition (*.toml)")
    return {path.stem: load_dataset(path) for path in files}


def load_dataset(path: Path) -> Dataset:
    """Read one definition; its name is the file's."""
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as wrong:
        raise DefinitionError(f"{path}: not valid TOML: {wrong}") from None
    except OSError as wrong:
        raise DefinitionError(f"{path}: cannot be read: {wrong.strerror}") from None
    return _Reader(path, given).dataset()


class _Reader:
    """Checks one file step by step, so that each complaint names its place."""

    def __init__(self, path: Path, given: Mapping[str, Any]) -> None:
        self._path = path
        self._given = given

    def dataset(self) -> Dataset:
        name = self._path.stem
        if not NAME.fullmatch(name):
            self._wrong("the file's name is the dataset's: lower case letters, digits and _, at most 63")
        if name == ERRORS.name:
            self._wrong(f"the name {name!r} is taken by the built-in dataset of what was rejected: use another")
        self._known(self._given, _TOP, "")
        columns = self._columns()
        names = {c.name: c for c in columns}
        event_time = self._text("event_time")
        if event_time not in names or names[event_time].type.kind != "timestamp" or not names[event_time].required:
            self._wrong(f"event_time = {event_time!r} must name a column of type timestamp with required = true")
        identity, key = self._identity(names)
        rest = self._given.get("rest")
        if rest is not None and (not isinstance(rest, str) or not NAME.fullmatch(rest) or rest in {*names, *RESERVED}):
            self._wrong('rest names a column of its own, such as rest = "rest"')
        return Dataset(
            name=name,
            identity=identity,
            key=key,
            event_time=event_time,
            partition=self._one_of("partition", ("day", "hour"), "day"),
            rest=rest,
            event_time_oldest=self._oldest(),
            event_time_future_days_max=self._future_days(),
            columns=columns,
            diststyle=self._diststyle(names),
            definition=self._hash(),
            version=self._version(names),
            duplicate_window_days=self._window(key, event_time),
        )

    def _columns(self) -> tuple[Column, ...]:
        entries = self._given.get("column")
        if not isinstance(entries, list) or not 1 <= len(entries) <= COLUMNS_MAX:
            self._wrong(f"give 1 to {COLUMNS_MAX} [[column]] tables")
        columns = tuple(self._column(n, entry) for n, entry in enumerate(entries, start=1))
        for what, values in (("name", [c.name for c in columns]), ("path", [".".join(c.path) for c in columns])):
            twice = sorted({v for v in values if values.count(v) > 1})
            if twice:
                self._wrong(f"column {what} {twice[0]!r} is given twice")
        return columns

    def _column(self, number: int, entry: Mapping[str, Any]) -> Column:
        if not isinstance(entry, dict):
            self._wrong(f"column {number}: must be a [[column]] table")
        name = entry.get("name")
        if not isinstance(name, str) or not NAME.fullmatch(name):
            self._wrong(f"column {number}: name must be lower case letters, digits and _, starting with a letter")
        here = f"column {name!r}: "
        if name in RESERVED:
            self._wrong(f"{here}the warehouse has a hidden column of that name in every table: use another")
        self._known(entry, _COLUMN, here)
        path = entry.get("path", name)
        if not isinstance(path, str) or not all(PATH_PART.fullmatch(part) for part in path.split(".")):
            self._wrong(f'{here}path is field names joined by dots, such as "application.amount"')
        try:
            kind = ColumnType.parse(entry.get("type", ""))
        except ValueError as wrong:
            self._wrong(f"{here}{wrong}")
        mask, required = entry.get("mask"), entry.get("required", False)
        if mask not in (None, "hash", "redact", "last4"):
            self._wrong(f'{here}mask is "hash", "redact" or "last4"')
        if mask is not None and kind.kind != "varchar":
            self._wrong(f"{here}only a varchar column can be masked")
        if not isinstance(required, bool):
            self._wrong(f"{here}required is true or false")
        return Column(name, tuple(path.split(".")), kind, required, mask, self._truncates(here, entry, kind))

    def _truncates(self, here: str, entry: Mapping[str, Any], kind: ColumnType) -> bool:
        too_long = entry.get("too_long", "reject")
        if kind.kind == "super" and too_long == "truncate":
            self._wrong(f"{here}JSON cannot be cut: leave out too_long, and a longer value is rejected")
        if too_long not in ("reject", "truncate") or ("too_long" in entry and kind.kind != "varchar"):
            self._wrong(f'{here}too_long is "reject" or "truncate", on a varchar column')
        return bool(too_long == "truncate")

    def _identity(self, names: Mapping[str, Column]) -> tuple[Literal["key", "content", "message"], tuple[str, ...]]:
        key, identity = self._given.get("key"), self._given.get("identity")
        if (key is None) == (identity is None):
            self._wrong('give either key = ["column", …] or identity = "content" or "message"')
        if identity is not None:
            if identity not in ("content", "message"):
                self._wrong('identity is "content" or "message"')
            return identity, ()
        required = [name for name, column in names.items() if column.required]
        if not isinstance(key, list) or not key or any(name not in required for name in key):
            self._wrong("key lists columns that have required = true")
        return "key", tuple(key)

    def _oldest(self) -> date:
        oldest = self._given.get("event_time_oldest", date(2000, 1, 1))
        if type(oldest) is not date:
            self._wrong("event_time_oldest is a date, such as 2011-01-01")
        return oldest

    def _future_days(self) -> int:
        days = self._given.get("event_time_future_days_max", 2)
        if not isinstance(days, int) or isinstance(days, bool) or not 0 <= days <= FUTURE_DAYS_MAX:
            self._wrong(f"event_time_future_days_max is a whole number of days, 0 to {FUTURE_DAYS_MAX}")
        return days

    def _diststyle(self, names: Mapping[str, Column]) -> str:
        style = self._given.get("diststyle", "auto")
        if not isinstance(style, str) or (style not in ("auto", "even", "all") and style not in names):
            self._wrong('diststyle is "auto", "even", "all", or the column whose values are kept together')
        return style

    def _version(self, names: Mapping[str, Column]) -> str | None:
        version = str(self._given.get("version", ""))
        if self._one_of("on_duplicate", ("keep", "replace"), "keep") == "keep":
            if version:
                self._wrong('version is for on_duplicate = "replace"')
            return None
        if version not in names or names[version].type.kind not in VERSION_KINDS or not names[version].required:
            self._wrong(
                f'on_duplicate = "replace" needs version = the name of a column with required = true, of type '
                f"{', '.join(VERSION_KINDS)}"
            )
        return version

    def _window(self, key: tuple[str, ...], event_time: str) -> int | None:
        days = self._given.get("duplicate_window_days")
        if days is None:
            return None
        if not isinstance(days, int) or isinstance(days, bool) or not 1 <= days <= FUTURE_DAYS_MAX:
            self._wrong(f"duplicate_window_days is a whole number of days, 1 to {FUTURE_DAYS_MAX}")
        if event_time in key:
            self._wrong(f"duplicate_window_days has no use here: {event_time!r} is part of the key")
        return days

    def _text(self, field: str) -> str:
        value = self._given.get(field)
        if not isinstance(value, str):
            self._wrong(f"{field} is missing or not text")
        return value

    def _one_of(self, field: str, allowed: tuple[Any, ...], default: Any) -> Any:
        value = self._given.get(field, default)
        if value not in allowed:
            self._wrong(f"{field} is one of {', '.join(map(repr, allowed))}")
        return value

    def _known(self, table: Mapping[str, Any], allowed: set[str], here: str) -> None:
        if not isinstance(table, dict):
            self._wrong(f"{here}must be a table")
        unknown = sorted(set(table) - allowed)
        if unknown:
            self._wrong(f"{here}{unknown[0]!r} is not known; use {', '.join(sorted(allowed))}")

    def _hash(self) -> str:
        shaping = {field: value for field, value in self._given.items() if field not in _TABLE}
        canonical = json.dumps([COMPILER, shaping], sort_keys=True, default=str)
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]

    def _wrong(self, sentence: str) -> NoReturn:
        raise DefinitionError(f"{self._path}: {sentence}")
