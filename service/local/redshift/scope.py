"""What a query reads: its tables and the names they go by. sqlglot reads the query for this, and only for this."""

from dataclasses import dataclass

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from service.local.redshift.refusals import OWN_LIMIT, not_supported
from service.local.redshift.statements import Statement
from service.local.redshift.vocabulary import SYSTEM_VIEW_PREFIXES


@dataclass(frozen=True)
class Scope:
    """Names in lower case. `qualified` holds (schema, table) pairs, `aliases` what a column may be qualified with."""

    qualified: frozenset[tuple[str, str]]
    aliases: frozenset[str]
    reads_user_table: bool


def tree_of(statement: Statement) -> exp.Expr | None:
    """The statement as sqlglot reads it, None if it cannot."""
    try:
        return sqlglot.parse_one(statement.text(0, len(statement)), read="redshift")
    except SqlglotError:
        return None


def scope_of(statement: Statement) -> Scope:
    """Raises RefusedError where the query is not understood."""
    tree = tree_of(statement)
    if tree is None:
        return _catalogue_scope(statement)
    defined = {node.alias.lower() for node in tree.find_all(exp.CTE)}
    tables = [table for table in tree.find_all(exp.Table) if table.name]
    named = {(table.db.lower(), table.name.lower()) for table in tables}
    aliased = {node.alias.lower() for node in tree.find_all(exp.Table, exp.Subquery) if node.alias}
    return Scope(
        qualified=frozenset(named),
        aliases=frozenset(aliased | defined | {name for _, name in named}),
        reads_user_table=any(_is_users(schema, name) and (schema or name not in defined) for schema, name in named),
    )


def _is_users(schema: str, name: str) -> bool:
    return schema not in {"pg_catalog", "information_schema"} and not name.startswith(SYSTEM_VIEW_PREFIXES)


def _catalogue_scope(statement: Statement) -> Scope:
    """For the queries that psql and drivers send about tables, which sqlglot cannot read: the catalogue alone."""
    qualified: set[tuple[str, str]] = set()
    aliases: set[str] = set()
    for at in range(len(statement)):
        if statement.word(at) in {"FROM", "JOIN", ","} and statement.words(at + 1, 2) == ("PG_CATALOG", "."):
            qualified.add(("pg_catalog", statement.name(at + 3)))
            aliases |= {statement.name(at + 3), statement.name(at + 4), statement.name(at + 5)}
        elif statement.word(at) in {"FROM", "JOIN"} and statement.word(at + 1) not in {"(", "PG_CATALOG", "LATERAL"}:
            raise not_supported(f"{OWN_LIMIT} The tables of this statement could not be made out.")
    return Scope(frozenset(qualified), frozenset(aliases), reads_user_table=False)
