"""Dotted access to a SUPER column, `rest.a.b[0]`, as the call that does the same in PostgreSQL.

Which dots are navigation follows from the names alone: a chain begins with a table's name, or else with a column, and
only a SUPER column has something behind a dot. Redshift lower-cases the names of a path, quoted or not.
"""

from collections.abc import Iterator

from service.local.redshift.refusals import syntax_error
from service.local.redshift.scope import Scope, scope_of
from service.local.redshift.statements import Edit, Statement

_SCHEMAS = frozenset({"pg_catalog", "information_schema"})
_BEFORE_OTHER_NAMES = frozenset(
    {"::", "INTO", "TABLE", "VIEW", "UPDATE", "COLLATE", "OPERATOR", "FROM", "JOIN", "USING"}
)


def navigation_edits(statement: Statement) -> Iterator[Edit]:
    """Raises RefusedError for a subscript that belongs to no SUPER column."""
    chains = [(start, _chain_end(statement, start)) for start in range(len(statement)) if _begins(statement, start)]
    chains = [(start, end) for start, end in chains if end > start + 1 and _may_navigate(statement, start, end)]
    covered = {at for start, end in chains for at in range(start, end)}
    for at in range(len(statement)):
        if statement.word(at) == "[" and at not in covered:
            raise syntax_error("[")
    if not chains:
        return
    scope = scope_of(statement)
    for start, end in chains:
        yield from _edit(statement, start, end, scope)


def _begins(statement: Statement, at: int) -> bool:
    return bool(statement.name(at)) and statement.word(at - 1) != "." and statement.word(at + 1) in {".", "["}


def _chain_end(statement: Statement, start: int) -> int:
    at = start + 1
    while True:  # every step moves on; the end of the tokens is neither a point nor a bracket
        if statement.word(at) == "." and statement.name(at + 1):
            at += 2
        elif statement.word(at) == "[" and statement.word(at + 1).isdecimal() and statement.word(at + 2) == "]":
            at += 3
        else:
            return at


def _may_navigate(statement: Statement, start: int, end: int) -> bool:
    return (
        statement.name(start) not in _SCHEMAS
        and statement.word(start - 1) not in _BEFORE_OTHER_NAMES
        and statement.word(end) not in {"(", "."}
    )


def _edit(statement: Statement, start: int, end: int, scope: Scope) -> Iterator[Edit]:
    column = start
    second = statement.name(start + 2) if statement.word(start + 1) == "." else ""
    if (statement.name(start), second) in scope.qualified:
        column = start + 4
    elif statement.name(start) in scope.aliases:
        column = start + 2
    if end <= column + 1:
        return
    path = [
        statement.name(at) or statement.word(at)
        for at in range(column + 1, end)
        if statement.name(at) or statement.word(at).isdecimal()
    ]
    steps = ", ".join("'" + step.replace("\\", "\\\\").replace("'", "''") + "'" for step in path)
    yield statement.replaced(start, end, f"redshift.navigate({statement.text(start, column + 1)}, {steps})")
