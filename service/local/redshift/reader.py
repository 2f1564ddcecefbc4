"""Walks over the tokens of one statement that has a grammar of its own, such as COPY."""

import re

from sqlglot.tokenizer_core import TokenType

from service.local.redshift.refusals import RefusedError, syntax_error
from service.local.redshift.statements import Statement

_NAME = re.compile(r"[A-Za-z_\u0080-\uffff][\w$]*")
_BY_ROLE = "aws_iam_role="
_SECRETS = frozenset({"CREDENTIALS", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN"})


class Reader:
    """Stands at one token and moves on by what is taken. Everything that takes raises RefusedError."""

    def __init__(self, statement: Statement, *, start: int = 1) -> None:
        self._statement = statement
        self._at = start
        self.iam_role = ""
        """What IAM_ROLE named, `default` for that word; empty for other credentials."""

    @property
    def word(self) -> str:
        return self._statement.word(self._at)

    @property
    def before(self) -> str:
        """The word that was taken last."""
        return self._statement.word(self._at - 1)

    @property
    def ended(self) -> bool:
        return self._at >= len(self._statement)

    @property
    def literal(self) -> str | None:
        """The value of a string at this place, None if something else stands here."""
        return self._statement.literal(self._at)

    def unexpected(self) -> RefusedError:
        return syntax_error(self._statement.shown(self._at))

    def take_literal(self) -> str:
        value = self.literal
        if value is None:
            raise self.unexpected()
        self._at += 1
        return value

    def take(self, *words: str) -> bool:
        if self.word not in words or not self.word:
            return False
        self._at += 1
        return True

    def take_number(self) -> bool:
        if self.ended or self._statement.tokens[self._at].token_type is not TokenType.NUMBER:
            return False
        self._at += 1
        return True

    def expect(self, word: str) -> None:
        if not self.take(word):
            raise self.unexpected()

    def end(self) -> None:
        if not self.ended:
            raise self.unexpected()

    def name(self) -> str:
        """A name exactly as it is written."""
        if self.ended:
            raise self.unexpected()
        token = self._statement.tokens[self._at]
        if token.token_type is not TokenType.IDENTIFIER and not (self.word and _NAME.fullmatch(token.text)):
            raise self.unexpected()
        self._at += 1
        return self._statement.text(self._at - 1, self._at)

    def qualified_name(self) -> str:
        parts = [self.name()]
        while self.take("."):
            parts.append(self.name())
        return ".".join(parts)

    def names(self) -> tuple[str, ...]:
        """Names in parentheses; none where no parenthesis opens."""
        if not self.take("("):
            return ()
        found = [self.name()]
        while self.take(","):
            found.append(self.name())
        self.expect(")")
        return tuple(found)

    def take_authorization(self) -> bool:
        """IAM_ROLE or other credentials. Nobody checks here what they open."""
        if self.take("IAM_ROLE"):
            self.iam_role = "default" if self.take("DEFAULT") else self.take_literal()
            return True
        if not self.take(*_SECRETS):
            return False
        self.take("AS")
        given = self.take_literal()
        if given.startswith(_BY_ROLE):
            self.iam_role = given.removeprefix(_BY_ROLE)
        return True
