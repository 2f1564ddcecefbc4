"""Refuses in a query what Redshift's SQL does not have: syntax, functions, relations and operators.

Works on tokens, so that nothing reaches PostgreSQL that was not looked at. Where Redshift's own text is not known the
message says that it is the stand-in's.
"""

from collections.abc import Iterator

from sqlglot.tokenizer_core import TokenType

from service.local.redshift.forms import check_forms
from service.local.redshift.refusals import OWN_LIMIT, RefusedError, not_supported, syntax_error
from service.local.redshift.statements import Statement
from service.local.redshift.vocabulary import (
    FUNCTIONS,
    KEYWORDS,
    RELATIONS,
    SYSTEM_COLUMNS,
    SYSTEM_VIEW_PREFIXES,
    SYSTEM_VIEWS,
    TYPES,
)

_NO_SUCH_SYNTAX: tuple[tuple[str, ...], ...] = (
    ("ON", "CONFLICT"),
    ("RETURNING",),
    ("WINDOW",),
    ("FETCH",),
    ("INSERT", "OVERWRITE"),
    ("WITH", "("),
    ("SELECT", "FROM"),
    ("FROM", "ONLY"),
    ("JOIN", "ONLY"),
    ("UPDATE", "ONLY"),
    ("SET", "("),
)
_REFUSED: tuple[tuple[str, ...], ...] = (
    ("FOR", "UPDATE"),
    ("FOR", "SHARE"),
    ("FOR", "NO"),
    ("FOR", "KEY"),
    ("DISTINCT", "ON"),
    ("IS", "DISTINCT"),
    ("IS", "NOT", "DISTINCT"),
    ("FILTER", "("),
    ("LATERAL",),
    ("TABLESAMPLE",),
    ("ARRAY",),
    ("AS", "MATERIALIZED"),
    ("AS", "NOT", "MATERIALIZED"),
    ("WITH", "ORDINALITY"),
    ("WITH", "RECURSIVE"),
    ("(", "VALUES"),
    ("CURRENT", "OF"),
    ("PIVOT",),
    ("UNPIVOT",),
    ("OVERRIDING",),
    ("IS", "JSON"),
    ("IS", "NOT", "JSON"),
    ("WITH", "CHECK"),
    ("WITH", "LOCAL"),
    ("WITH", "CASCADED"),
    ("ON", "COMMIT"),
    ("EXCEPT", "ALL"),
    ("INTERSECT", "ALL"),
    ("COLLATE",),
    ("CURRENT_CATALOG",),
)
_OPERATORS = frozenset(
    {"->", "->>", "#>", "#>>", "@>", "<@", "?", "?|", "?&", "&&", "@?", "@@", "^@", "#-", "@-@", "<->", "&<", "&>"}
)
_CHANGES = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE"})
_BEFORE_NAMES = frozenset({"INTO", "TABLE", "VIEW", "AS", "WITH", "REFERENCES", ")", "::", "LOCK", "ALTER", "DROP"})
# What may stand before a literal. Any other name there would be a type's, as in jsonb '{}'.
_BEFORE_LITERALS = KEYWORDS | {"DATE", "DEFAULT", "ESCAPE", "INTERVAL", "TIME", "TIMESTAMP", "TIMESTAMPTZ", "ZONE"}
_PRIVATE_SCHEMA = "redshift"


def check_syntax(statement: Statement) -> None:
    """Raises RefusedError."""
    _check_aggregates(statement)
    check_forms(statement)
    for at, token in enumerate(statement.tokens):
        word = statement.word(at)
        for words in _NO_SUCH_SYNTAX:
            if word == words[0] and statement.words(at, len(words)) == words:
                raise syntax_error(statement.shown(at))
        for words in _REFUSED:
            if word == words[0] and statement.words(at, len(words)) == words and not _is_name(statement, at):
                raise not_supported(f"{OWN_LIMIT} {' '.join(words).removesuffix(' (')} is not supported.")
        if token.text in _OPERATORS and token.token_type not in {TokenType.STRING, TokenType.IDENTIFIER}:
            raise RefusedError("42883", f"{OWN_LIMIT} operator does not exist: {token.text}")
        if word in _CHANGES and statement.word(at - 1) == "(":
            raise syntax_error(statement.shown(at))
        if word == "ANY" and statement.word(at + 1) == "(" and statement.word(at + 2) != "SELECT":
            raise not_supported(f"{OWN_LIMIT} ANY of an array is not supported.")


def check_names(statement: Statement) -> None:
    """Raises RefusedError for a function, relation or column that Redshift does not have."""
    for at in range(len(statement)):
        name = statement.name(at)
        if not name or statement.word(at - 1) == "::":
            continue
        if statement.literal(at + 1) is not None and name.upper().split(" ")[-1] not in _BEFORE_LITERALS:
            raise RefusedError("42704", f'type "{name}" does not exist')
        called = statement.word(at + 1) == "("
        if name == _PRIVATE_SCHEMA and statement.word(at + 1) == ".":
            raise RefusedError("3F000", f'schema "{name}" does not exist')
        if name in SYSTEM_COLUMNS:
            raise RefusedError("42703", f'column "{name}" does not exist')
        if name.startswith(SYSTEM_VIEW_PREFIXES) and not called:
            _check_relation(name)
    for name in called_functions(statement):
        if name not in FUNCTIONS:
            raise RefusedError("42883", f"function {name} does not exist")


def called_functions(statement: Statement) -> Iterator[str]:
    """The functions that the statement calls; anything in another schema than pg_catalog with its schema."""
    for at in range(len(statement)):
        name = statement.name(at)
        if not name or " " in name or statement.word(at + 1) != "(":
            continue
        quoted = not statement.word(at)
        if not quoted and (statement.word(at) in KEYWORDS or name.split(" ")[0] in TYPES - FUNCTIONS):
            continue
        start = at
        while statement.word(start - 1) == ".":
            start -= 2
        schema = "" if start == at else statement.name(start)
        if _names_something_new(statement, start, at):
            continue
        yield name if schema in {"", "pg_catalog"} else f"{schema}.{name}"


def _names_something_new(statement: Statement, start: int, at: int) -> bool:
    """Whether the parenthesis after `at` holds a list of columns."""
    before = statement.word(start - 1)
    if before in _BEFORE_NAMES or statement.words(start - 3, 3) == ("IF", "NOT", "EXISTS"):
        return True
    after = statement.after_parentheses(at + 1)
    return before == "," and statement.words(after, 2) == ("AS", "(")


def _check_relation(name: str) -> None:
    known = name in RELATIONS or name in SYSTEM_VIEWS or name == "pg_catalog" or name in FUNCTIONS
    if not known:
        raise RefusedError("42P01", f'relation "{name}" does not exist')


def _check_aggregates(statement: Statement) -> None:
    """An order inside an aggregate's parentheses is the first thing that Redshift's parser stumbles upon."""
    opened: list[int] = []
    for at in range(len(statement)):
        match statement.word(at):
            case "(":
                opened.append(at)
            case ")" if opened:
                opened.pop()
            case "ORDER BY" if opened and _is_call(statement, opened[-1]):
                raise syntax_error("ORDER")


def _is_call(statement: Statement, at: int) -> bool:
    name = statement.word(at - 1)
    inner = statement.word(at + 1)
    return bool(statement.name(at - 1)) and name not in KEYWORDS and inner not in {"SELECT", "WITH"}


def _is_name(statement: Statement, at: int) -> bool:
    """Whether the word stands where only a name can: after a point, or after AS."""
    return statement.word(at - 1) == "." or (statement.word(at - 1) == "AS" and statement.word(at + 1) in {",", "FROM"})
