"""IDENTITY(seed, step): a column that numbers its rows. PostgreSQL has such columns under another spelling.

Both refuse a value that an INSERT or UPDATE gives. Redshift leaves numbers out where it loads in parallel; which ones,
nobody may rely on.
"""

import re
from collections.abc import Iterator

from service.local.redshift.refusals import OWN_LIMIT, not_supported, syntax_error
from service.local.redshift.statements import Edit, Statement

_BITS = {"INT": 31, "INTEGER": 31, "INT4": 31, "BIGINT": 63, "INT8": 63}
_NUMBER = re.compile(r"[+-]?\s*\d+")


def identity_edits(statement: Statement, type_at: int, end: int) -> Iterator[Edit]:
    """The edits to a column whose type stands at `type_at`. Raises RefusedError for a form that is not supported."""
    for at in range(type_at + 1, end):
        if statement.word(at) != "IDENTITY":
            continue
        after = statement.after_parentheses(at + 1)
        numbers = [statement.text(first, stop) for first, stop in statement.parts(at + 2, after - 1)]
        if after == at + 1:
            raise not_supported(f"{OWN_LIMIT} IDENTITY needs its seed and step here.")
        if len(numbers) != 2 or not all(_NUMBER.fullmatch(number) for number in numbers):  # noqa: PLR2004
            raise syntax_error(statement.shown(at + 2))
        bits = _BITS.get(statement.word(type_at))
        if bits is None:
            raise not_supported(f"{OWN_LIMIT} An IDENTITY column must be an INT or a BIGINT.")
        seed, step = numbers
        limits = f"MINVALUE {-(2**bits)} MAXVALUE {2**bits - 1}"
        sequence = f"GENERATED ALWAYS AS IDENTITY (START WITH {seed} INCREMENT BY {step} {limits})"
        yield statement.replaced(at, after, sequence)
