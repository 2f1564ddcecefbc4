"""A text of SQL as statements, and a statement as tokens.

What is rewritten keeps the text between the tokens, and what is taken out becomes blanks, so that the positions in the
backend's error messages stay true.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from sqlglot.dialects.redshift import Redshift
from sqlglot.errors import TokenError
from sqlglot.tokenizer_core import Token, TokenType

from service.local.redshift.refusals import OWN_LIMIT, SYNTAX_ERROR, RefusedError, not_supported

VARCHAR_BYTES_MAX = 65_535
"""The longest string of a column, and of an expression unless the database allows large strings."""
LARGE_STRING_BYTES_MAX = 16_000_000
"""The longest string of an expression or inside a SUPER where large strings are allowed."""
NAME_BYTES_MAX = 63
"""PostgreSQL's limit, which would cut a longer name; Redshift's is 127."""

Edit = tuple[int, int, str]
"""What to put in the place of the source from one position up to another."""

_LITERALS = frozenset({TokenType.STRING, TokenType.BYTE_STRING})
# Kinds of literals that Redshift lacks or that a second reading could split otherwise.
_FOREIGN_LITERALS = frozenset(
    {
        TokenType.HEREDOC_STRING,
        TokenType.NATIONAL_STRING,
        TokenType.UNICODE_STRING,
        TokenType.RAW_STRING,
        TokenType.BIT_STRING,
        TokenType.HEX_STRING,
    }
)
_QUOTED = frozenset({TokenType.IDENTIFIER, *_LITERALS})


@dataclass(frozen=True)
class Statement:
    """One statement of a text: its tokens, with positions in `source`, the whole text.

    `string_bytes_max` is the longest string there is in an expression, and what VARCHAR(MAX) means there.
    """

    tokens: Sequence[Token]
    source: str
    string_bytes_max: int = VARCHAR_BYTES_MAX

    def __len__(self) -> int:
        return len(self.tokens)

    def word(self, index: int) -> str:
        """The token at `index` in upper case (PRIMARY KEY is one); empty for what is quoted and after the end."""
        return self._words[index] if 0 <= index < len(self._words) else ""

    @cached_property
    def _words(self) -> list[str]:
        return ["" if token.token_type in _QUOTED else " ".join(token.text.upper().split()) for token in self.tokens]

    def words(self, start: int, count: int) -> tuple[str, ...]:
        return tuple(self.word(at) for at in range(start, start + count))

    def name(self, index: int) -> str:
        """The identifier at `index` as Redshift folds it: in lower case, quoted or not; empty for anything else."""
        if not 0 <= index < len(self.tokens):
            return ""
        token = self.tokens[index]
        if token.token_type is TokenType.IDENTIFIER:
            return token.text.lower()
        is_word = token.token_type not in _LITERALS and (token.text[:1].isalpha() or token.text[:1] in {"_", "#"})
        return token.text.lower() if is_word else ""

    def literal(self, index: int) -> str | None:
        """The value of the string at `index`, None for anything else."""
        if not 0 <= index < len(self.tokens) or self.tokens[index].token_type not in _LITERALS:
            return None
        return self.tokens[index].text

    def shown(self, index: int) -> str:
        """What stands at `index`, for a message; a literal may be a secret and is not shown."""
        if not 0 <= index < len(self.tokens):
            return "end of input"
        return "'…'" if self.literal(index) is not None else self.text(index, index + 1)

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

    def after_name(self, index: int) -> int:
        """The index after a possibly qualified name."""
        at = index + 1
        while self.word(at) == ".":
            at += 2
        return at

    def parts(self, start: int, end: int) -> list[tuple[int, int]]:
        """Where the pieces between commas begin and end, commas within parentheses aside."""
        found, first, at = [], start, start
        while at < end:
            if self.word(at) == ",":
                found.append((first, at))
                first = at + 1
            at = max(self.after_parentheses(at), at + 1)
        return [*found, (first, end)] if first < end or found else []

    def replaced(self, start: int, end: int, new: str) -> Edit:
        """The edit that puts `new` in the place of the tokens from `start` up to the one before `end`."""
        return self.tokens[start].start, self.tokens[end - 1].end + 1, new

    def blanked(self, start: int, end: int) -> Edit:
        first, last, _ = self.replaced(start, end, "")
        return first, last, " " * (last - first)

    def edited(self, edits: Iterable[Edit]) -> str:
        """The statement's text after the edits, of which none may overlap another."""
        text = self.source
        first, last = self.tokens[0].start, self.tokens[-1].end + 1
        for start, end, new in sorted(edits, key=lambda edit: edit[:2], reverse=True):
            text = text[:start] + new + text[end:]
            last += len(new) - (end - start)
        return text[first:last]


class _Tokenizer(Redshift.Tokenizer):
    COMMANDS = set()  # noqa: RUF012 - else the text after CALL, SHOW and the like would be one token


def _tokens(sql: str) -> Sequence[Token]:
    try:
        return _Tokenizer(dialect=Redshift()).tokenize(sql)
    except TokenError:
        raise RefusedError(SYNTAX_ERROR, f"{OWN_LIMIT} syntax error: a literal or comment does not end") from None


def _folded(sql: str, tokens: Sequence[Token]) -> str:
    """The text with quoted names in lower case, as Redshift takes them. Raises RefusedError for a name too long."""
    parts, done = [], 0
    for token in tokens:
        if token.token_type not in _LITERALS and len(token.text.encode()) > NAME_BYTES_MAX:
            raise not_supported(f"{OWN_LIMIT} A name has at most {NAME_BYTES_MAX} bytes here.")
        if token.token_type is TokenType.IDENTIFIER:
            parts += [sql[done : token.start], sql[token.start : token.end + 1].lower()]
            done = token.end + 1
    return "".join([*parts, sql[done:]])


def statements(sql: str, *, string_bytes_max: int = VARCHAR_BYTES_MAX) -> list[Statement]:
    """The statements of a text. Raises RefusedError where it cannot be read for certain."""
    tokens = _tokens(sql)
    folded = _folded(sql, tokens)
    if folded != sql:
        sql, tokens = folded, _tokens(folded)
    if any(token.token_type in _FOREIGN_LITERALS for token in tokens):
        raise not_supported(f"{OWN_LIMIT} Only literals in single quotes are supported.")
    found: list[Statement] = []
    start = 0
    for at, token in enumerate([*tokens, None]):
        if token is None or token.token_type is TokenType.SEMICOLON:
            if at > start:
                found.append(Statement(tokens[start:at], sql, string_bytes_max))
            start = at + 1
    return found
