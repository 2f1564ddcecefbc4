"""Reads COPY … FROM 's3://…' FORMAT PARQUET MANIFEST, and refuses what Redshift refuses for Parquet.

Options come in any order; the form AS PARQUET and the bare word PARQUET are as good as FORMAT AS PARQUET.
"""

from dataclasses import dataclass

from service.local.redshift.reader import Reader
from service.local.redshift.refusals import OWN_LIMIT, not_supported
from service.local.redshift.statements import Statement

_S3_PREFIX = "s3://"

_PLAIN = frozenset({"PARQUET", "MANIFEST", "SERIALIZETOJSON", "FILLRECORD", "EXPLICIT_IDS"})
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
    iam_role: str = ""
    serialize_to_json: bool = False
    fill_record: bool = False
    accept_invalid_characters: bool = False

    @property
    def shown_table(self) -> str:
        """The table's name as messages show it."""
        last = self.table.rsplit(".", 1)[-1].strip()
        return last[1:-1] if last.startswith('"') else last.lower()


def read_copy(statement: Statement) -> CopyStatement:
    """Raises RefusedError."""
    reader = Reader(statement)
    table = reader.qualified_name()
    columns = reader.names()
    reader.expect("FROM")
    source = reader.take_literal()
    options: list[str] = []
    while not reader.ended:
        options.append(_option(reader))
    _check(source, options)
    return CopyStatement(
        table=table,
        columns=columns,
        manifest=source,
        iam_role=reader.iam_role,
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


def _option(reader: Reader) -> str:
    """The name of the option that comes next. Whatever gives credentials is called AUTHORIZATION."""
    if reader.take_authorization():
        return "AUTHORIZATION"
    named_as_format = reader.take("FORMAT")
    named_as_format = reader.take("AS") or named_as_format
    word = reader.word
    if named_as_format and word not in {"PARQUET", *_OTHER_FORMATS}:
        raise reader.unexpected()
    if not reader.take("STATUPDATE", "ACCEPTINVCHARS", *_PLAIN, *_REFUSED_FOR_PARQUET, *_OTHER_FORMATS):
        raise reader.unexpected()
    if word == "STATUPDATE":
        reader.take(*_SWITCHES)
    elif word == "ACCEPTINVCHARS":
        _take_replacement_character(reader)
    elif word in _REFUSED_FOR_PARQUET or word in _OTHER_FORMATS:
        _skip_arguments(reader)
    return word


def _take_replacement_character(reader: Reader) -> None:
    reader.take("AS")
    if reader.literal not in {None, "?"}:
        raise not_supported(f"{OWN_LIMIT} ACCEPTINVCHARS replaces by a question mark only.")
    if reader.literal is not None:
        reader.take_literal()


def _skip_arguments(reader: Reader) -> None:
    """An option that will be refused anyway: its arguments do not matter."""
    reader.take("AS")
    reader.take(*_SWITCHES)
    if reader.literal is not None:
        reader.take_literal()
    else:
        reader.take_number()
