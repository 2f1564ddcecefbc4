"""What keys a CREATE TABLE may name: they are dropped here, so a wrong one would pass unseen."""

from service.local.redshift.refusals import OWN_LIMIT, RefusedError, not_supported
from service.local.redshift.statements import Statement

_UNDEFINED_COLUMN = "42703"
_INVALID_TABLE = "42P16"
_KEYS = ("DISTKEY", "SORTKEY", "PRIMARY KEY", "UNIQUE")
_STORAGE_KEYS = frozenset({"DISTKEY", "SORTKEY"})


def check_keys(statement: Statement, start: int, end: int) -> None:
    """The elements of the table stand between `start` and `end`, its attributes behind. Raises RefusedError."""
    elements = statement.parts(start, end)
    if any(statement.word(first) == "LIKE" for first, _ in elements):
        return
    types = {statement.name(first): statement.word(first + 1) for first, _ in elements}
    for first, stop in elements:
        words = statement.words(first + 2, stop - first - 2)
        if types[statement.name(first)] == "SUPER" and _STORAGE_KEYS.intersection(words):
            raise not_supported(f"{OWN_LIMIT} A SUPER column is no DISTKEY and no SORTKEY.")
    primary = sum(word == "PRIMARY KEY" for word in statement.words(start, end - start))
    if primary > 1:
        raise RefusedError(_INVALID_TABLE, f"{OWN_LIMIT} A table has one PRIMARY KEY.")
    for at in range(start, len(statement)):
        if statement.word(at) in _KEYS and statement.word(at + 1) == "(":
            _check_names(statement, at, types)


def _check_names(statement: Statement, at: int, types: dict[str, str]) -> None:
    for first, _ in statement.parts(at + 2, statement.after_parentheses(at + 1) - 1):
        name = statement.name(first)
        if name not in types:
            raise RefusedError(_UNDEFINED_COLUMN, f'column "{name}" named in key does not exist')
        if types[name] == "SUPER" and statement.word(at) in _STORAGE_KEYS:
            raise not_supported(f"{OWN_LIMIT} A SUPER column is no DISTKEY and no SORTKEY.")
