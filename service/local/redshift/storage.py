"""What a CREATE or ALTER TABLE says about how a table is stored, as a note behind the text that PostgreSQL runs.

PostgreSQL has no distribution, sort keys, encodings or unenforced keys, so they are taken out of the statement. The
note keeps them: storage.sql reads it when the table is made or changed, and refuses the changes that Redshift refuses.
"""

import json
from typing import TypeAlias

from service.local.redshift.encodings import encoding_of
from service.local.redshift.statements import Statement

_Facts: TypeAlias = dict[str, str | bool]
_COLUMN_KEYS = frozenset({"UNIQUE", "PRIMARY KEY", "REFERENCES"})
_TABLE_KEYS = frozenset({"UNIQUE", "PRIMARY KEY", "FOREIGN KEY"})


def created_note(statement: Statement, name_at: int) -> str:
    """The note for the table whose name stands at `name_at`."""
    at = statement.after_name(name_at)
    end = statement.after_parentheses(at)
    parts = statement.parts(at + 1, end - 1) if end > at else []
    columns: dict[str, _Facts] = {}
    like = ""
    for first, stop in parts:
        if statement.word(first) == "LIKE":
            like = statement.text(first + 1, statement.after_name(first + 1))
        elif (key := _table_key(statement, first)) is not None:
            for name in _names(statement, key):
                columns.setdefault(name, {})["key"] = True
        else:
            columns.setdefault(statement.name(first), {}).update(_facts(statement, first + 1, stop))
    style = ""
    for at in range(end, _attributes_end(statement, end)):
        if statement.word(at) == "DISTSTYLE":
            style = statement.word(at + 1)
        elif statement.word(at) in {"DISTKEY", "SORTKEY"} and statement.word(at + 1) == "(":
            for name in _names(statement, at):
                columns.setdefault(name, {})[statement.word(at).lower()] = True
    if not style and not like:
        style = "KEY" if any("distkey" in facts for facts in columns.values()) else "AUTO"
    told = {name: facts for name, facts in columns.items() if facts}
    return _note(statement, name_at, alters=False, style=style, like=like, columns=told)


def altered_note(statement: Statement, name_at: int) -> str:
    """The note for ALTER TABLE, whose table's name stands at `name_at`."""
    at = statement.after_name(name_at)
    match statement.words(at, 2):
        case "ADD", second:
            column = at + 2 if second == "COLUMN" else at + 1
            facts = _facts(statement, column + 1, len(statement))
            return _note(statement, name_at, alters=True, columns={statement.name(column): facts} if facts else {})
        case "ALTER", _:
            return _note(statement, name_at, alters=True, resized=statement.name(at + 2))
        case "RENAME", "TO":
            return _note(statement, name_at, alters=True, table=statement.name(at + 2))
    return _note(statement, name_at, alters=True)


def _attributes_end(statement: Statement, start: int) -> int:
    at = start
    while at < len(statement) and statement.word(at) != "AS":
        at = max(statement.after_parentheses(at), at + 1)
    return at


def _table_key(statement: Statement, first: int) -> int | None:
    """Where a table's key begins, if the element is one."""
    at = first + 2 if statement.word(first) == "CONSTRAINT" else first
    return at if statement.word(at) in _TABLE_KEYS else None


def _names(statement: Statement, key: int) -> list[str]:
    """The columns in the parentheses behind a key's word."""
    return [statement.name(first) for first, _ in statement.parts(key + 2, statement.after_parentheses(key + 1) - 1)]


def _facts(statement: Statement, start: int, end: int) -> _Facts:
    words = statement.words(start, end - start)
    found: _Facts = {word.lower(): True for word in ("DISTKEY", "SORTKEY") if word in words}
    if _COLUMN_KEYS.intersection(words):
        found["key"] = True
    encoding = encoding_of(statement, start, end)
    if encoding:
        found["encode"] = encoding.lower()
    return found


def _note(statement: Statement, name_at: int, *, alters: bool, **facts: object) -> str:
    """The comment; a name in it cannot end it."""
    last = statement.after_name(name_at) - 1
    schema = statement.name(last - 2) if last > name_at else ""
    told = {"schema": schema, "table": statement.name(last), "alters": alters, **facts}
    return f" /*storage: {json.dumps(told).replace('*', chr(92) + 'u002a')}*/"
