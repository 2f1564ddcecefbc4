"""Forms that PostgreSQL has and Redshift has not: rows as values, numbers in other bases, and the like."""

import re

from sqlglot.tokenizer_core import TokenType

from service.local.redshift.refusals import OWN_LIMIT, not_supported, syntax_error
from service.local.redshift.statements import Statement

_NUMBER = re.compile(r"(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_BEFORE_ROWS = frozenset({"SELECT", "=", "<>", "!=", "<", ">", "<=", ">=", "WHERE", "AND", "OR", "ON", "DISTINCT", ","})
_WITH_IN_WITH = "can't specify another WITH clause inside a WITH clause subquery"
_OPERATORS = frozenset({"<", ">", "<=", ">=", "OPERATOR"})


def check_forms(statement: Statement) -> None:
    """Raises RefusedError."""
    _check_insert(statement)
    _check_delete(statement)
    _check_with(statement)
    for at, token in enumerate(statement.tokens):
        if token.token_type is TokenType.NUMBER and not _is_plain_number(statement, at):
            raise syntax_error(token.text)
        if statement.word(at) == "USING" and statement.word(at + 1) in _OPERATORS:
            raise syntax_error("USING")
        if statement.word(at) == "(" and statement.word(at - 1) in _BEFORE_ROWS and _is_row(statement, at):
            raise not_supported(f"{OWN_LIMIT} A row as a value is not supported.")


def _check_insert(statement: Statement) -> None:
    """INSERT INTO t: no other name for it, and plain values where there are several rows (AWS: INSERT examples)."""
    if statement.words(0, 2) != ("INSERT", "INTO"):
        return
    after = statement.after_parentheses(statement.after_name(2))
    if statement.word(after) == "AS":
        raise syntax_error("AS")
    if statement.word(after) == "VALUES":
        rows = statement.parts(after + 1, len(statement))
        if len(rows) > 1 and "SELECT" in statement.words(after, len(statement)):
            raise not_supported("can't use subqueries in multi-row VALUES")


def _check_delete(statement: Statement) -> None:
    """DELETE has no other name for its table (AWS: DELETE, its syntax)."""
    if statement.words(0, 2) != ("DELETE", "FROM"):
        return
    after = statement.after_name(2)
    if after < len(statement) and statement.word(after) not in {"USING", "WHERE"}:
        raise syntax_error(statement.shown(after))


def _check_with(statement: Statement) -> None:
    """No WITH within the subquery of a WITH (AWS: WITH clause). The number is not known."""
    for at in range(len(statement)):
        if statement.word(at) != "WITH" or not statement.name(at + 1) or statement.word(at + 1) == "TIME":
            continue
        query = at
        while query == at or statement.word(query) == ",":
            query = statement.after_parentheses(query + 2)
            if statement.words(query, 2) != ("AS", "("):
                break
            end = statement.after_parentheses(query + 1)
            inner = range(query, end)
            if any(statement.word(place) == "WITH" and statement.word(place + 1) != "TIME" for place in inner):
                raise not_supported(_WITH_IN_WITH)
            query = end


def _is_plain_number(statement: Statement, at: int) -> bool:
    """A number in another base, or with a line in it, may also come as a number with a name close behind."""
    token = statement.tokens[at]
    following = statement.tokens[at + 1] if at + 1 < len(statement) else None
    touches = following is not None and following.start == token.end + 1 and following.token_type is TokenType.VAR
    return bool(_NUMBER.fullmatch(token.text)) and not touches


def _is_row(statement: Statement, at: int) -> bool:
    """Whether the parentheses hold several values, or a row whose column is asked for."""
    after = statement.after_parentheses(at)
    if statement.word(after) == ".":
        return True
    several = len(statement.parts(at + 1, after - 1)) > 1
    is_query = statement.word(at + 1) in {"SELECT", "WITH", "("}
    is_looked_up = statement.word(after) == "IN" or statement.words(after, 2) == ("NOT", "IN")
    is_next_of_values = statement.word(at - 1) == "," and "VALUES" in statement.words(0, at)
    return several and not is_query and not is_looked_up and not is_next_of_values
