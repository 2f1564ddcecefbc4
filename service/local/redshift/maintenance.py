"""TRUNCATE, VACUUM and ANALYZE: what they name, and what they do to a transaction."""

from dataclasses import dataclass

from service.local.redshift.reader import Reader
from service.local.redshift.refusals import OWN_LIMIT, RefusedError, not_supported
from service.local.redshift.statements import Statement

_VACUUM_WORDS = frozenset({"FULL", "SORT", "DELETE", "ONLY", "REINDEX", "RECLUSTER"})
_ACTIVE_TRANSACTION = "25001"


@dataclass(frozen=True)
class Truncate:
    """Empties a table, and commits the transaction that it stands in."""

    table: str


@dataclass(frozen=True)
class Maintain:
    """A VACUUM or ANALYZE: here there is nothing to do, but the table must exist."""

    command: str
    table: str | None


@dataclass(frozen=True)
class Alone:
    """A change of a table that may not stand in a transaction; `command` names it in the message."""

    command: str
    statement: Statement


def read_truncate(statement: Statement) -> Truncate:
    reader = Reader(statement)
    reader.take("TABLE")
    table = reader.qualified_name()
    reader.end()
    return Truncate(table)


def read_maintain(statement: Statement) -> Maintain:
    """VACUUM [FULL | SORT ONLY | DELETE ONLY | …] [t [TO n PERCENT] [BOOST]], ANALYZE [VERBOSE] [t [(…)] […]]."""
    command = "VACUUM" if statement.word(0) == "VACUUM" else "ANALYZE"
    reader = Reader(statement)
    if command == "ANALYZE" and reader.take("COMPRESSION"):
        raise not_supported(f"{OWN_LIMIT} ANALYZE COMPRESSION is not supported.")
    while reader.take(*(_VACUUM_WORDS if command == "VACUUM" else {"VERBOSE"})):
        pass
    table = None if reader.ended else reader.qualified_name()
    if command == "VACUUM" and reader.take("TO"):
        reader.take_number()
        reader.expect("PERCENT")
    elif command == "ANALYZE":
        reader.names()
        if reader.take("PREDICATE", "ALL"):
            reader.expect("COLUMNS")
    if command == "VACUUM":
        reader.take("BOOST")
    reader.end()
    return Maintain(command, table)


def inside_transaction(command: str) -> RefusedError:
    return RefusedError(_ACTIVE_TRANSACTION, f"{command} cannot run inside a transaction block")
