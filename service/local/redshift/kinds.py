"""Which kinds of statements there are. What is not known here is refused, whatever PostgreSQL would make of it."""

from enum import Enum, auto

from service.local.redshift.refusals import OWN_LIMIT, RefusedError, not_supported, syntax_error
from service.local.redshift.statements import Statement


class Kind(Enum):
    """What has to be done with a statement."""

    QUERY = auto()
    TABLE = auto()
    RIGHTS = auto()
    GRANT = auto()
    EXTERNAL = auto()
    TRANSACTION = auto()
    SETTING = auto()
    LOCK = auto()
    MERGE = auto()
    COPY = auto()
    UNLOAD = auto()
    TRUNCATE = auto()
    VACUUM = auto()
    ANALYZE = auto()


TAKEN_OVER = frozenset({Kind.COPY, Kind.UNLOAD, Kind.TRUNCATE, Kind.VACUUM, Kind.ANALYZE, Kind.GRANT, Kind.EXTERNAL})
"""What the stand-in does itself, step by step, and only when it comes as a simple query."""

_FIRST_WORDS = {
    "SELECT": Kind.QUERY,
    "WITH": Kind.QUERY,
    "INSERT": Kind.QUERY,
    "UPDATE": Kind.QUERY,
    "DELETE": Kind.QUERY,
    "MERGE": Kind.MERGE,
    "COPY": Kind.COPY,
    "UNLOAD": Kind.UNLOAD,
    "TRUNCATE": Kind.TRUNCATE,
    "VACUUM": Kind.VACUUM,
    "ANALYZE": Kind.ANALYZE,
    "ANALYSE": Kind.ANALYZE,
    "LOCK": Kind.LOCK,
    "BEGIN": Kind.TRANSACTION,
    "START": Kind.TRANSACTION,
    "COMMIT": Kind.TRANSACTION,
    "END": Kind.TRANSACTION,
    "ROLLBACK": Kind.TRANSACTION,
    "ABORT": Kind.TRANSACTION,
    "SET": Kind.SETTING,
    "RESET": Kind.SETTING,
    "SHOW": Kind.SETTING,
    "GRANT": Kind.GRANT,
    "REVOKE": Kind.GRANT,
}
_OBJECTS = {
    "CREATE": {"TABLE": Kind.TABLE, "VIEW": Kind.QUERY, "SCHEMA": Kind.RIGHTS},
    "ALTER": {"TABLE": Kind.TABLE, "DEFAULT": Kind.GRANT, "SCHEMA": Kind.RIGHTS},
    "DROP": {"TABLE": Kind.RIGHTS, "VIEW": Kind.RIGHTS, "SCHEMA": Kind.RIGHTS},
}
_PEOPLE = {"USER": Kind.RIGHTS, "GROUP": Kind.RIGHTS, "ROLE": Kind.GRANT}
_NO_SUCH_COMMANDS = frozenset({"SAVEPOINT", "RELEASE", "LISTEN", "NOTIFY", "UNLISTEN"})
_NO_SUCH_SYNTAX = frozenset({"DISCARD", "DO"})
_SHOWN_COMMAND_CHARACTERS_MAX = 200


def kind_of(statement: Statement) -> Kind:
    """Raises RefusedError for a statement that is not in the list."""
    first = statement.word(0)
    if first in _OBJECTS:
        return _definition(statement, first)
    if statement.words(0, 2) == ("ROLLBACK", "TO"):
        raise _no_such_command(statement)
    if first in _FIRST_WORDS:
        return _FIRST_WORDS[first]
    if first in _NO_SUCH_COMMANDS:
        raise _no_such_command(statement)
    if first in _NO_SUCH_SYNTAX or not statement.name(0):
        raise syntax_error(statement.shown(0))
    raise not_supported(f"{OWN_LIMIT} The statement {first} is not supported.")


def _definition(statement: Statement, first: str) -> Kind:
    at = 1
    if statement.words(1, 2) == ("OR", "REPLACE") and statement.word(3) == "VIEW":
        return Kind.QUERY
    while first == "CREATE" and statement.word(at) in {"LOCAL", "TEMP", "TEMPORARY"}:
        at += 1
    what = statement.word(at)
    if at > 1 and what != "TABLE":
        raise syntax_error(statement.shown(at))
    if what in _PEOPLE:
        return _PEOPLE[what]
    if (first, what) == ("CREATE", "EXTERNAL") and statement.word(at + 1) in {"SCHEMA", "TABLE"}:
        return Kind.EXTERNAL
    if what in _OBJECTS[first]:
        return _OBJECTS[first][what]
    if "INDEX" in statement.words(1, 2):
        raise not_supported(f'SQL command "{_shown(statement)}" not supported on Redshift tables')
    if what == "TYPE" and "ENUM" in statement.words(2, 4):
        context = statement.text(1, min(5, len(statement)))
        raise RefusedError("42601", f'syntax error at or near "ENUM" in context "{context}"')
    raise _no_such_command(statement)


def _no_such_command(statement: Statement) -> RefusedError:
    return not_supported(f'SQL command "{_shown(statement)}" not supported')


def _shown(statement: Statement) -> str:
    """The command, if it holds no value of anybody's."""
    if any(statement.literal(at) is not None for at in range(len(statement))):
        return f"{statement.text(0, min(2, len(statement)))} …"
    return statement.text(0, len(statement))[:_SHOWN_COMMAND_CHARACTERS_MAX]
