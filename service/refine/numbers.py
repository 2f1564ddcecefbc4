"""Numbers that DuckDB would change: it reads a JSON number that is no integer as a double, and writes that double anew.

The rule: a number that is no integer must be what its double says (so 0.1 and 0.30000000000000004 pass, and
0.12345678901234567890 does not), and an integer has at most 38 digits, as Redshift's widest number does. Anything
else should be sent as text; the record is rejected, never rounded.
"""

import re
import sys
from decimal import Decimal
from math import isinf

from service.refine.scan import outside_strings

INTEGER_DIGITS_MAX = 38
DOUBLE_DIGITS = 15
"""So many digits always come back from a double that is neither too large nor too small to be exact."""
SUSPECT = r"[0-9][0-9.]{15}|[eE][+-]?[0-9]{3}"
"""A record without such a piece has no number in question; most records with one only hold long texts."""

_IN_NUMBERS = b"-+.0123456789eE"
_NUMBERS_ALONE = bytes(byte if byte in _IN_NUMBERS else ord(" ") for byte in range(256))
_SURE = re.compile(rb"-?[0-9.]{1,15}(?:[eE][+-]?[0-9]{1,2})?")
_EXPONENT = re.compile(r"[eE]")


def changes(record: str) -> bool:
    """Whether a number in this (valid) JSON text would not survive."""
    bare = outside_strings(record.encode()).replace(b"true", b"").replace(b"false", b"")
    numbers = set(bare.translate(_NUMBERS_ALONE).split())
    return any(_changes(number.decode()) for number in numbers if _SURE.fullmatch(number) is None)


def _changes(text: str) -> bool:
    mantissa = _EXPONENT.split(text)[0]
    if mantissa == text and "." not in text:
        return len(text.lstrip("-")) > INTEGER_DIGITS_MAX
    if not mantissa.strip("-0."):
        return False
    number = float(text)
    if isinf(number) or number == 0:
        return True
    if len(mantissa.lstrip("-")) <= DOUBLE_DIGITS and abs(number) >= sys.float_info.min:
        return False
    return Decimal(text) != Decimal(repr(number))
