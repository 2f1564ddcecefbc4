"""One guarded SQL expression for each column type: the exact value, or NULL. No value changes silently.

DuckDB's own casts are too kind: INTEGER takes 5.7 as 6 and true as 1, DECIMAL(5,1) takes 123.456 as 123.5, a cast to
TIMESTAMP drops the offset. So a cast only sees text of a shape for which it is exact. In what follows `j` is a JSON
fragment as DuckDB extracts it (numbers that are no integers are written anew from their double) and `s` the text of
a JSON string, NULL for anything else.
"""

from service.core.columns import ColumnType
from service.core.errors import Code

CLOCK_SHAPE = r"([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,6}0*)?)?"
ZONE_SHAPE = r"(Z|[+-](0\d|1[0-5])(:?[0-5]\d)?)"
"""No place on earth is further than 15 hours from UTC."""
TIMESTAMP_SHAPE = rf"\d{{4}}-\d\d-\d\d[T ]{CLOCK_SHAPE}{ZONE_SHAPE}"
DATE_SHAPE = r"\d{4}-\d\d-\d\d"
DOUBLE_INTEGER_DIGITS = 15
"""An integer of that many digits is exact as a double; one more digit may not be."""


def value(kind: ColumnType, j: str, s: str) -> str:  # noqa: PLR0911 (a table, one row a type)
    """SQL for the column's value, NULL when the field does not hold exactly such a value."""
    match kind.kind:
        case "smallint" | "integer" | "bigint":
            return _guarded(j, rf"-?\d{{1,19}}|-?\d{{1,{DOUBLE_INTEGER_DIGITS}}}\.0", f"TRY_CAST({j} AS {kind.kind})")
        case "decimal":
            return _decimal(kind, j, s)
        case "double":
            return _double(j)
        case "boolean":
            return f"CASE {j} WHEN 'true' THEN true WHEN 'false' THEN false END"
        case "date":
            return _from_year_1(_guarded(s, DATE_SHAPE, f"TRY_CAST({s} AS DATE)"))
        case "timestamp":
            moment = _guarded(s, TIMESTAMP_SHAPE, f"make_timestamp(epoch_us(TRY_CAST({s} AS TIMESTAMPTZ)))")
            return _from_year_1(moment)
        case "varchar":
            return s
        case "super":
            return j
    raise AssertionError(kind)


def wrong_value(kind: ColumnType) -> tuple[Code, str]:
    """The code and sentence for a field that is there and has no such value."""
    match kind.kind:
        case "date":
            return "bad_time", "holds no date of the form 2011-10-01"
        case "timestamp":
            return "bad_time", "holds no ISO 8601 time with its zone and at most 6 decimals of a second"
        case "varchar":
            return "bad_type", "holds something other than text"
        case "decimal":
            return "bad_type", f"holds no number that fits {kind} exactly"
        case other:
            return "bad_type", f"holds no {other} value"


def truncated(text: str, bytes_max: int) -> str:
    """SQL for the longest beginning of whole characters that fits so many bytes."""
    cut = ", ".join(f"TRY(decode(encode({text})[1:{bytes_max - less}]))" for less in range(min(4, bytes_max)))
    return f"CASE WHEN strlen({text}) > {bytes_max} THEN COALESCE({cut}, '') ELSE {text} END"


def _from_year_1(moment: str) -> str:
    """Within the years 1 to 9999, in UTC: others do not survive their way into files and drivers."""
    return f"list_filter([{moment}], lambda _m: year(_m) BETWEEN 1 AND 9999)[1]"


def _guarded(text: str, shape: str, cast: str) -> str:
    return f"CASE WHEN regexp_full_match({text}, '{shape}') THEN {cast} END"


def _decimal(kind: ColumnType, j: str, s: str) -> str:
    """A JSON number or, as is usual for money, a number in a string. An exponent passes when it is exact."""
    text = f"COALESCE({s}, {j})"
    fraction = rf"\.\d{{1,{kind.scale}}}0*" if kind.scale else r"\.0+"
    plain = rf"-?\d{{1,38}}({fraction})?"
    scaled = f"TRY_CAST({j} AS {kind})"
    return (
        f"CASE WHEN regexp_full_match({text}, '{plain}') THEN TRY_CAST({text} AS {kind}) "
        f"WHEN regexp_full_match({j}, '-?[0-9.]+e-?[0-9]+') "
        f"AND TRY_CAST({scaled} AS DOUBLE) = TRY_CAST({j} AS DOUBLE) THEN {scaled} END"
    )


def _double(j: str) -> str:
    """A finite JSON number; an integer only where the double is that very integer."""
    number = f"TRY_CAST({j} AS DOUBLE)"
    long_integer = rf"regexp_full_match({j}, '-?\d{{{DOUBLE_INTEGER_DIGITS + 1},}}')"
    return (
        f"CASE WHEN NOT regexp_matches({j}, '^-?[0-9]') OR NOT isfinite({number}) THEN NULL "
        f"WHEN {long_integer} AND TRY_CAST({number} AS HUGEINT) IS DISTINCT FROM TRY_CAST({j} AS HUGEINT) THEN NULL "
        f"ELSE {number} END"
    )
