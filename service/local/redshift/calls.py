"""Functions that PostgreSQL writes otherwise: DATEADD, DATEDIFF, NVL, NVL2, DECODE, LISTAGG, SYSDATE and a few more."""

from collections.abc import Callable, Iterator, Mapping

from service.local.redshift.refusals import OWN_LIMIT, not_supported, syntax_error
from service.local.redshift.statements import Edit, Statement

# PostgreSQL has functions of these names too, which would win.
_RENAMED = {
    "JSON_SERIALIZE": "redshift.json_serialize",
    "JSON_EXTRACT_PATH_TEXT": "redshift.json_extract_path_text",
    "AVG": "redshift.avg",
    "VERSION": "redshift.version",
    "CONCAT": "redshift.concat",
    "LEFT": "redshift.left",
    "RIGHT": "redshift.right",
    "SPLIT_PART": "redshift.split_part",
    "NVL": "coalesce",
}
_WITH_DATE_PART = frozenset({"DATEADD", "DATEDIFF", "DATE_PART"})
_LISTAGG_ARGUMENTS_MAX = 2


def call_edits(statement: Statement) -> Iterator[Edit]:
    """Raises RefusedError for a form of a call that is not supported."""
    for at in range(len(statement)):
        word = statement.word(at)
        if statement.word(at - 1) == ".":
            continue
        if word == "SYSDATE":
            yield statement.replaced(at, at + 1, "redshift.sysdate()")
        if statement.word(at + 1) != "(":
            continue
        if word in _RENAMED:
            yield statement.replaced(at, at + 1, _RENAMED[word])
        elif word in _WITH_DATE_PART and statement.literal(at + 2) is None:
            yield statement.replaced(at + 2, at + 3, f"'{statement.name(at + 2)}'")
        elif word in _WRITTEN_ANEW:
            yield from _WRITTEN_ANEW[word](statement, at)


def _arguments(statement: Statement, at: int) -> list[tuple[int, int]]:
    """Where the arguments of the call at `at` begin and end."""
    return statement.parts(at + 2, statement.after_parentheses(at + 1) - 1)


def _extract(statement: Statement, at: int) -> Iterator[Edit]:
    if statement.word(at + 3) != "FROM":
        raise syntax_error(statement.shown(at + 3))
    part = statement.literal(at + 2) or statement.name(at + 2)
    if part.lower() == "epoch":
        return  # PostgreSQL's own keeps the fraction; what Redshift makes of one is not known
    yield statement.replaced(at, at + 4, f"redshift.extract('{part.replace(chr(39), '')}',")


def _nvl2(statement: Statement, at: int) -> Iterator[Edit]:
    arguments = _arguments(statement, at)
    if len(arguments) != 3:  # noqa: PLR2004 - the value and what to give
        raise not_supported(f"{OWN_LIMIT} NVL2 takes three arguments.")
    (_, first), (_, second), (_, third) = arguments
    yield statement.replaced(at, at + 2, "CASE WHEN (")
    yield statement.replaced(first, first + 1, ") IS NOT NULL THEN (")
    yield statement.replaced(second, second + 1, ") ELSE (")
    yield statement.replaced(third, third + 1, ") END")


def _decode(statement: Statement, at: int) -> Iterator[Edit]:
    """CASE with a comparison that finds NULL too."""
    (start, end), *pairs = _arguments(statement, at)
    value = statement.text(start, end)
    if "(" in value or len(pairs) < 2:  # noqa: PLR2004 - the value is written once for each pair, so it stays plain
        raise not_supported(f"{OWN_LIMIT} DECODE takes a plain column or literal, and pairs after it.")
    yield statement.replaced(at, pairs[0][0], f"CASE WHEN {value} IS NOT DISTINCT FROM (")
    for number, (_, stop) in enumerate(pairs):
        is_last, is_result = number == len(pairs) - 1, number % 2 == 1
        if is_last:
            new = ") END"
        elif not is_result:
            new = ") THEN ("
        elif number == len(pairs) - 2:
            new = ") ELSE ("
        else:
            new = f") WHEN {value} IS NOT DISTINCT FROM ("
        yield statement.replaced(stop, stop + 1, new)


def _listagg(statement: Statement, at: int) -> Iterator[Edit]:
    """string_agg, with the order of WITHIN GROUP moved into its parentheses."""
    arguments = _arguments(statement, at)
    close = statement.after_parentheses(at + 1) - 1
    first = at + 3 if statement.word(at + 2) == "DISTINCT" else at + 2
    if not 1 <= len(arguments) <= _LISTAGG_ARGUMENTS_MAX:
        raise not_supported(f"{OWN_LIMIT} LISTAGG takes a value and a delimiter.")
    order = close + 1
    while statement.word(order) in {"WITHIN", "GROUP", "WITHIN GROUP"}:
        order += 1
    ordered = order > close + 1
    end = statement.after_parentheses(order) if ordered else close + 1
    if statement.word(end) == "OVER":
        raise not_supported(f"{OWN_LIMIT} LISTAGG as a window function is not supported.")
    yield statement.replaced(at, at + 1, "redshift.listagg(string_agg")
    yield statement.tokens[first].start, statement.tokens[first].start, "("
    delimiter = ")::text" if len(arguments) == _LISTAGG_ARGUMENTS_MAX else ")::text, ''"
    at_value_end = statement.tokens[arguments[0][1] - 1].end + 1
    yield at_value_end, at_value_end, delimiter
    if ordered:
        yield statement.blanked(close, order + 1)
    last = statement.tokens[end - 1]
    yield last.end + 1, last.end + 1, ")"


_WRITTEN_ANEW: Mapping[str, Callable[[Statement, int], Iterator[Edit]]] = {
    "EXTRACT": _extract,
    "NVL2": _nvl2,
    "DECODE": _decode,
    "LISTAGG": _listagg,
}
