"""DISTSTYLE and DISTKEY: which go together (AWS: CREATE TABLE). They are dropped here, so a wrong pair would pass."""

from service.local.redshift.refusals import OWN_LIMIT, RefusedError
from service.local.redshift.statements import Statement

_INVALID_TABLE = "42P16"


def check_distribution(statement: Statement, start: int, end: int, attributes_end: int) -> None:
    """The table's elements stand between `start` and `end`, its attributes behind. Raises RefusedError."""
    elements = statement.parts(start, end)
    keys = sum(
        "DISTKEY" in statement.words(first + 1, stop - first - 1) for first, stop in elements if stop > first + 1
    )
    style, others = "", 0
    for at in range(end, attributes_end):
        if statement.word(at) == "DISTSTYLE":
            if style:
                raise _refused("A table has one DISTSTYLE.")
            style = statement.word(at + 1)
        elif statement.word(at) == "DISTKEY":
            keys += max(len(statement.parts(at + 2, statement.after_parentheses(at + 1) - 1)), 1)
        elif statement.word(at) in {"SORTKEY", "BACKUP"}:
            others += 1
    if keys > 1:
        raise _refused("A table has one DISTKEY column.")
    if keys and style not in {"", "KEY"}:
        raise _refused(f"DISTSTYLE {style} does not go with DISTKEY.")
    if style == "KEY" and not keys:
        raise _refused("DISTSTYLE KEY needs a DISTKEY.")
    if any(statement.word(first) == "LIKE" for first, _ in elements) and (style or keys or others):
        raise _refused("A table made with LIKE takes its distribution, sort keys and BACKUP over.")


def _refused(text: str) -> RefusedError:
    return RefusedError(_INVALID_TABLE, f"{OWN_LIMIT} {text}")
