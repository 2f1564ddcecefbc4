"""Window functions as Redshift has them: a frame with every ORDER BY of an aggregate, frames of ROWS only."""

from service.local.redshift.refusals import OWN_LIMIT, not_supported
from service.local.redshift.statements import Statement

_WITH_FRAME = frozenset(
    {
        "AVG", "COUNT", "FIRST_VALUE", "LAST_VALUE", "MAX", "MIN", "NTH_VALUE", "STDDEV", "STDDEV_POP", "STDDEV_SAMP",
        "SUM", "VAR_POP", "VAR_SAMP", "VARIANCE",
    }
)  # fmt: skip
_NEIGHBOURS = frozenset({"LAG", "LEAD"})
_NEIGHBOUR_ARGUMENTS_MAX = 2
_NO_FRAME = "Aggregate window functions with an ORDER BY clause require a frame clause"


def check_windows(statement: Statement) -> None:
    """Raises RefusedError."""
    for at in range(len(statement)):
        if statement.word(at + 1) != "(" or statement.word(at - 1) == ".":
            continue
        close = statement.after_parentheses(at + 1)
        if statement.word(at) in _NEIGHBOURS and len(statement.parts(at + 2, close - 1)) > _NEIGHBOUR_ARGUMENTS_MAX:
            raise not_supported(f"{OWN_LIMIT} {statement.word(at)} takes a value and an offset.")
        over = close
        while statement.words(over, 2) in {("IGNORE", "NULLS"), ("RESPECT", "NULLS")}:
            over += 2
        if statement.word(over) != "OVER":
            continue
        window = statement.words(over + 1, statement.after_parentheses(over + 1) - over - 1)
        if "RANGE" in window or "GROUPS" in window or "EXCLUDE" in window:
            raise not_supported(f"{OWN_LIMIT} A window's frame is of ROWS, without EXCLUDE.")
        if statement.word(at) in _WITH_FRAME and "ORDER BY" in window and "ROWS" not in window:
            raise not_supported(_NO_FRAME)
