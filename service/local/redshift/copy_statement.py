"""Reads COPY … FROM 's3://…' FORMAT PARQUET MANIFEST, and refuses what Redshift refuses for Parquet.

Options come in any order; the form AS PARQUET and the bare word PARQUET are as good as FORMAT AS PARQUET.
"""

import re
from dataclasses import dataclass

from sqlglot.tokenizer_core import TokenType

from service.local.redshift.refusals import OWN_LIMIT, not_supported, syntax_error
from service.local.redshift.statements import Statement

_NAME = re.compile(r"[A-Za-z_\u0080-\uffff][\w$]*")
_S3_PREFIX = "s3://"

_SECRETS = frozenset({"CREDENTIALS", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN"})
_SWITCHES = frozenset({"ON", "TRUE", "OFF", "FALSE"})
_REFUSED_FOR_PARQUET = frozenset(
    {
        "ACCEPTANYDATE", "BLANKSASNULL", "BZIP2", "COMPROWS", "COMPUPDATE", "DATEFORMAT", "DELIMITER",
        "EMPTYASNULL", "ENCODING", "ENCRYPTED", "ESCAPE", "FIXEDWIDTH", "GZIP", "IGNOREALLERRORS", "IGNOREBLANKLINES",
        "IGNOREHEADER", "LZOP", "MASTER_SYMMETRIC_KEY", "MAXERROR", "NOLOAD", "NULL", "QUOTE", "READRATIO", "REGION",
        "REMOVEQUOTES", "ROUNDEC", "SSH", "TIMEFORMAT", "TRIMBLANKS", "TRUNCATECOLUMNS", "ZSTD",
    }
)  # fmt: skip
_OTHER_FORMATS = frozenset({"AVRO", "CSV", "JSON", "ORC", "RCFILE", "SEQUENCEFILE", "SHAPEFILE", "TEXTFILE"})


@dataclass(frozen=True, kw_only=True)
class CopyStatement:
    """A COPY that the stand-in can run. `table` and `columns` are names exactly as the client wrote them."""

    table: str
    columns: tuple[str, ...]
    manifest: str
    serialize_to_json: bool = False
    fill_record: bool = False
    accept_invalid_characters: bool = False

    @property
    def shown_table(self) -> str:
        """The table's name as messages show it."""
        last = self.table.rsplit(".", 1)[-1].strip()
        return last[1:-1] if last.startswith('"') else last.lower()


def is_copy(statement: Statement) -> bool:
    return statement.word(0) == "COPY"


def read_copy(statement: Statement) -> CopyStatement:
    """Raises RefusedError."""
    reader = _Reader(statement)
    table = reader.qualified_name()
    columns = reader.column_list()
    reader.expect("FROM")
    if reader.word in {"STDIN", "STDOUT"} or reader.literal is None:
        raise syntax_error(reader.shown)
    source = reader.take_literal()
    options = reader.options()
    _check(source, options)
    return CopyStatement(
        table=table,
        columns=columns,
        manifest=source,
        serialize_to_json="SERIALIZETOJSON" in options,
        fill_record="FILLRECORD" in options,
        accept_invalid_characters="ACCEPTINVCHARS" in options,
    )


def _check(source: str, options: list[str]) -> None:
    if "PARQUET" in options:
        for option in options:
            if option in _REFUSED_FOR_PARQUET:
                raise not_supported(f"{option} argument is not supported for PARQUET based COPY")
    if not source.startswith(_S3_PREFIX) or "/" not in source.removeprefix(_S3_PREFIX):
        raise not_supported(f"{OWN_LIMIT} COPY reads from s3://bucket/key only.")
    if "PARQUET" not in options or "MANIFEST" not in options:
        raise not_supported(f"{OWN_LIMIT} Only COPY with FORMAT PARQUET and MANIFEST is supported.")
    if "AUTHORIZATION" not in options:
        raise not_supported(f"{OWN_LIMIT} COPY needs IAM_ROLE or other credentials.")
    if "EXPLICIT_IDS" in options:
        raise not_supported(f"{OWN_LIMIT} EXPLICIT_IDS is not supported.")


class _Reader:
    """Walks over the tokens of one COPY."""

    def __init__(self, statement: Statement) -> None:
        self._statement = statement
        self._at = 1

    @property
    def word(self) -> str:
        return self._statement.word(self._at)

    @property
    def _ended(self) -> bool:
        return self._at >= len(self._statement.tokens)

    @property
    def literal(self) -> str | None:
        """The value of a string at this place, None if something else stands here."""
        if self._ended or self._statement.tokens[self._at].token_type is not TokenType.STRING:
            return None
        return self._statement.tokens[self._at].text

    @property
    def shown(self) -> str:
        """What stands here, for a message; a literal may be a secret and is not shown."""
        if self._ended:
            return "end of input"
        return "'…'" if self.literal is not None else self._statement.text(self._at, self._at + 1)

    def take_literal(self) -> str:
        value = self.literal
        if value is None:
            raise syntax_error(self.shown)
        self._at += 1
        return value

    def take(self, *words: str) -> bool:
        if self.word not in words:
            return False
        self._at += 1
        return True

    def expect(self, word: str) -> None:
        if not self.take(word):
            raise syntax_error(self.shown)

    def name(self) -> str:
        if self._ended:
            raise syntax_error(self.shown)
        token = self._statement.tokens[self._at]
        if token.token_type is not TokenType.IDENTIFIER and not (self.word and _NAME.fullmatch(token.text)):
            raise syntax_error(self.shown)
        self._at += 1
        return self._statement.text(self._at - 1, self._at)

    def qualified_name(self) -> str:
        parts = [self.name()]
        while self.take("."):
            parts.append(self.name())
        return ".".join(parts)

    def column_list(self) -> tuple[str, ...]:
        if not self.take("("):
            return ()
        names = [self.name()]
        while self.take(","):
            names.append(self.name())
        self.expect(")")
        return tuple(names)

    def options(self) -> list[str]:
        """The names of all options, to the end. Whatever gives credentials is called AUTHORIZATION."""
        found: list[str] = []
        while not self._ended:
            found.append(self._option())
        return found

    def _option(self) -> str:
        word = self.word
        if word in {"FORMAT", "AS"}:
            self._at += 1
            self.take("AS")
            word = self.word
            if word not in {"PARQUET", *_OTHER_FORMATS}:
                raise syntax_error(self.shown)
        self._at += 1
        if word == "IAM_ROLE":
            if not self.take("DEFAULT"):
                self.take_literal()
            return "AUTHORIZATION"
        if word in _SECRETS:
            self.take("AS")
            self.take_literal()
            return "AUTHORIZATION"
        if word == "STATUPDATE":
            self.take(*_SWITCHES)
        elif word == "ACCEPTINVCHARS":
            self._replacement_character()
        elif word in _REFUSED_FOR_PARQUET or word in _OTHER_FORMATS:
            self._skip_arguments()
        elif word not in {"PARQUET", "MANIFEST", "SERIALIZETOJSON", "FILLRECORD", "EXPLICIT_IDS"}:
            self._at -= 1
            raise syntax_error(self.shown)
        return word

    def _replacement_character(self) -> None:
        self.take("AS")
        if self.literal not in {None, "?"}:
            raise not_supported(f"{OWN_LIMIT} ACCEPTINVCHARS replaces by a question mark only.")
        self._at += self.literal is not None

    def _skip_arguments(self) -> None:
        """An option that will be refused anyway: its arguments do not matter."""
        self.take("AS")
        self.take(*_SWITCHES)
        if not self._ended and self._statement.tokens[self._at].token_type in {TokenType.NUMBER, TokenType.STRING}:
            self._at += 1
