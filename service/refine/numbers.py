"""Numbers that DuckDB would change: it reads a JSON number that is no integer as a double, and writes that double anew.

The rule: a number that is no integer must be what its double says (so 0.1 and 0.30000000000000004 pass, and
0.12345678901234567890 does not), and an integer has at most 38 digits, as Redshift's widest number does. Anything
else should be sent as text; the record is rejected, never rounded.
"""

import re
from decimal import Decimal

INTEGER_DIGITS_MAX = 38
SUSPECT = r"[0-9][0-9.]{15}|[eE][+-]?[0-9]{2}"
"""A record without such a piece has no number in question; most records with one only hold long texts."""

_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|-?\d+(?P<fraction>\.\d+)?(?P<exponent>[eE][+-]?\d+)?')


def changes(record: str) -> bool:
    """Whether a number in this (valid) JSON text would not survive."""
    return any(_changes(token) for token in _TOKEN.finditer(record) if not token[0].startswith('"'))


def _changes(token: re.Match[str]) -> bool:
    text = token[0]
    if token["fraction"] is None and token["exponent"] is None:
        return len(text.lstrip("-")) > INTEGER_DIGITS_MAX
    number = float(text)
    if number in (float("inf"), float("-inf")):
        return True
    return Decimal(text) != Decimal(repr(number))
