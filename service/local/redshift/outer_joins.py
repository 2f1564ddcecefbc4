"""RIGHT and FULL OUTER JOIN, which take no SUPER (AWS: Limitations of SUPER).

Only PostgreSQL knows which columns are SUPERs, so the condition of such a join gets a call that asks its catalogue
when the query is planned, and fails or is true. A condition may hold an OR: AND binds closer, and true AND x is x.
"""

import json
from collections.abc import Iterator

from service.local.redshift.refusals import OWN_LIMIT, not_supported
from service.local.redshift.scope import scope_of
from service.local.redshift.statements import Edit, Statement

_STARS_AFTER = frozenset({"SELECT", ",", ".", "DISTINCT"})


def outer_join_edits(statement: Statement) -> Iterator[Edit]:
    """Raises RefusedError where the join has no ON."""
    joins = [at for at in range(len(statement)) if _is_sided(statement, at)]
    if not joins:
        return
    call = f" redshift.without_super({_asked(statement)}) AND"
    for place in sorted({_condition(statement, at) for at in joins}):
        end = statement.tokens[place].end + 1
        yield end, end, call


def _is_sided(statement: Statement, at: int) -> bool:
    following = statement.words(at + 1, 2)
    return statement.word(at) in {"RIGHT", "FULL"} and (following[0] == "JOIN" or following == ("OUTER", "JOIN"))


def _condition(statement: Statement, join: int) -> int:
    """Where the ON stands that follows the join."""
    at = join
    while at < len(statement) and statement.word(at) not in {"ON", "USING", ")"}:
        at = max(statement.after_parentheses(at), at + 1)
    if statement.word(at) != "ON":
        raise not_supported(f"{OWN_LIMIT} A RIGHT or FULL OUTER JOIN needs its ON here.")
    return at


def _asked(statement: Statement) -> str:
    """The arguments: the tables that the statement reads, the names it uses, and whether it asks for all columns."""
    tables = sorted(f'"{schema}"."{name}"' if schema else f'"{name}"' for schema, name in scope_of(statement).qualified)
    names = sorted({statement.name(at) for at in range(len(statement))} - {""})
    stars = any(statement.word(at) == "*" and statement.word(at - 1) in _STARS_AFTER for at in range(len(statement)))
    return f"{_literal(json.dumps(tables))}, {_literal(json.dumps(names))}, {stars}"


def _literal(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"
