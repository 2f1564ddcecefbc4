"""From SQL as a client of Redshift writes it to SQL that PostgreSQL runs.

Works on tokens and keeps the text between them: what is taken out becomes blanks, so that the positions in the
backend's error messages stay true.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlglot.dialects.redshift import Redshift
from sqlglot.errors import TokenError
from sqlglot.tokenizer_core import Token, TokenType

from service.local.redshift.refusals import OWN_LIMIT, not_supported

VARCHAR_BYTES_MAX = 65535

# Nothing is ever rewritten or intercepted in a text without one of these words, and a long INSERT is slow to tokenise.
_WORTH_READING = re.compile(
    r"\b(copy|create|alter|max|json_serialize|json_extract_path_text|sysdate|query_group)\b", re.IGNORECASE
)

_KEYS_OF_TABLE = ("PRIMARY KEY", "UNIQUE", "FOREIGN KEY")
_VARCHAR = ("VARCHAR", "CHARACTER VARYING", "CHAR VARYING", "NVARCHAR")
# PostgreSQL has functions of these names too, which would win.
_REPLACED_CALLS = {
    "JSON_SERIALIZE": "redshift.json_serialize",
    "JSON_EXTRACT_PATH_TEXT": "redshift.json_extract_path_text",
}
_REPLACED_WORDS = {"SYSDATE": "redshift.sysdate()"}
# Settings that PostgreSQL does not have; under a prefix it keeps any.
_SETTINGS = {"QUERY_GROUP": "redshift.query_group"}


@dataclass(frozen=True)
class Statement:
    """One statement of a text: its tokens, with positions in `source`, the whole text."""

    tokens: Sequence[Token]
    source: str

    def word(self, index: int) -> str:
        """The token at `index` in upper case (PRIMARY KEY is one); empty for what is quoted and after the end."""
        if not 0 <= index < len(self.tokens) or self.tokens[index].token_type in _QUOTED:
            return ""
        return " ".join(self.tokens[index].text.upper().split())

    def text(self, start: int, end: int) -> str:
        """The source from the token at `start` up to the one before `end`."""
        return self.source[self.tokens[start].start : self.tokens[end - 1].end + 1]

    def after_parentheses(self, index: int) -> int:
        """The index after the group that opens at `index`, or `index` itself where none opens."""
        if self.word(index) != "(":
            return index
        depth = 0
        for at in range(index, len(self.tokens)):
            depth += {"(": 1, ")": -1}.get(self.word(at), 0)
            if depth == 0:
                return at + 1
        return len(self.tokens)


_QUOTED = frozenset(
    {TokenType.IDENTIFIER, TokenType.STRING, TokenType.BYTE_STRING, TokenType.HEREDOC_STRING, TokenType.NATIONAL_STRING}
)


class _Tokenizer(Redshift.Tokenizer):
    COMMANDS = set()  # noqa: RUF012 - else the text after CALL, SHOW and the like would be one token


def statements(sql: str) -> list[Statement]:
    """The statements of a text. Empty where nothing is worth reading or the text is no SQL: the backend will tell."""
    if not _WORTH_READING.search(sql):
        return []
    try:
        tokens = _Tokenizer(dialect=Redshift()).tokenize(sql)
    except TokenError:
        return []
    found: list[Statement] = []
    start = 0
    for at, token in enumerate([*tokens, None]):
        if token is None or token.token_type is TokenType.SEMICOLON:
            if at > start:
                found.append(Statement(tokens[start:at], sql))
            start = at + 1
    return found


def rewritten(statement: Statement) -> str:
    """The statement's text for PostgreSQL. Raises RefusedError."""
    edits = [*_expressions(statement)]
    if _is_table_definition(statement):
        edits += _table_attributes(statement)
    text = statement.source
    first, last = statement.tokens[0].start, statement.tokens[-1].end + 1
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
        last += len(new) - (end - start)
    return text[first:last]


Edit = tuple[int, int, str]


def _expressions(statement: Statement) -> Iterator[Edit]:
    for at, token in enumerate(statement.tokens):
        word = statement.word(at)
        qualified = statement.word(at - 1) == "."
        called = statement.word(at + 1) == "("
        if word in _SETTINGS and statement.word(0) in {"SET", "RESET", "SHOW"} and at > 0:
            yield token.start, token.end + 1, _SETTINGS[word]
        elif word == "MAX" and statement.word(at - 1) == "(" and statement.word(at - 2) in _VARCHAR:
            yield token.start, token.end + 1, str(VARCHAR_BYTES_MAX)
        elif word in _REPLACED_CALLS and called and not qualified:
            yield token.start, token.end + 1, _REPLACED_CALLS[word]
        elif word in _REPLACED_WORDS and not called and not qualified:
            yield token.start, token.end + 1, _REPLACED_WORDS[word]


def _is_table_definition(statement: Statement) -> bool:
    if statement.word(0) == "ALTER":
        return statement.word(1) == "TABLE"
    return statement.word(0) == "CREATE" and _name_index(statement) > 0


def _name_index(statement: Statement) -> int:
    """Where the name of CREATE [LOCAL] [TEMP] TABLE [IF NOT EXISTS] stands; 0 for any other CREATE."""
    at = 1
    while statement.word(at) in {"LOCAL", "TEMP", "TEMPORARY"}:
        at += 1
    if statement.word(at) != "TABLE":
        return 0
    return at + 4 if statement.word(at + 1) == "IF" else at + 1


def _table_attributes(statement: Statement) -> Iterator[Edit]:
    if statement.word(0) == "ALTER":
        yield from _column_attributes(statement, 2, len(statement.tokens))
        return
    at = _name_index(statement) + 1
    while statement.word(at) == ".":
        at += 2
    end = statement.after_parentheses(at)
    if end > at:
        yield from _elements(statement, at + 1, end - 1)
    while end < len(statement.tokens) and statement.word(end) != "AS":
        length = _table_attribute_length(statement, end)
        if length:
            yield _blank(statement, end, end + length)
        end += max(length, 1)


def _elements(statement: Statement, start: int, end: int) -> Iterator[Edit]:
    """Columns and table constraints between the parentheses."""
    kept_any = False
    while start < end:
        stop = _element_end(statement, start, end)
        first = start + 2 if statement.word(start) == "CONSTRAINT" else start
        if statement.word(first) in _KEYS_OF_TABLE:
            # The comma before goes too; that of a first element is the one after.
            yield _blank(statement, start - 1 if kept_any else start, stop if kept_any else min(stop + 1, end))
        else:
            kept_any = True
            yield from _column_attributes(statement, start + 1, stop)
        start = stop + 1


def _element_end(statement: Statement, start: int, end: int) -> int:
    at = start
    while at < end and statement.word(at) != ",":
        at = max(statement.after_parentheses(at), at + 1)
    return at


def _column_attributes(statement: Statement, start: int, end: int) -> Iterator[Edit]:
    at = start
    while at < end:
        length = _column_attribute_length(statement, at)
        if length and statement.word(0) == "ALTER" and statement.word(at - 1) == "ADD":
            raise not_supported(f"{OWN_LIMIT} ALTER TABLE … ADD of a key is not supported; name keys in CREATE TABLE.")
        if length:
            yield _blank(statement, at, at + length)
        at = at + length if length else max(statement.after_parentheses(at), at + 1)


def _column_attribute_length(statement: Statement, at: int) -> int:
    """How many tokens the column attribute at `at` has; 0 if none that PostgreSQL lacks or would enforce."""
    match statement.word(at), statement.word(at + 1):
        case "CONSTRAINT", _:
            inner = _column_attribute_length(statement, at + 2)
            return inner + 2 if inner and statement.word(at + 2) in {*_KEYS_OF_TABLE, "REFERENCES"} else 0
        case "ENCODE", following if following != "(":
            return 2
        case (("DISTKEY" | "SORTKEY" | "UNIQUE" | "PRIMARY KEY"), _):
            return statement.after_parentheses(at + 1) - at
        case "REFERENCES", _:
            name_end = at + 2
            while statement.word(name_end) == ".":
                name_end += 2
            return statement.after_parentheses(name_end) - at
    return 0


def _table_attribute_length(statement: Statement, at: int) -> int:
    match statement.word(at), statement.word(at + 1):
        case (("DISTSTYLE" | "BACKUP" | "ENCODE"), _):
            return 2
        case "SORTKEY", "AUTO":
            return 2
        case (("DISTKEY" | "SORTKEY"), _):
            return statement.after_parentheses(at + 1) - at
        case (("COMPOUND" | "INTERLEAVED"), "SORTKEY"):
            return statement.after_parentheses(at + 2) - at
    return 0


def _blank(statement: Statement, start: int, end: int) -> Edit:
    first, last = statement.tokens[start].start, statement.tokens[end - 1].end + 1
    return first, last, " " * (last - first)
