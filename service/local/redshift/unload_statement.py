"""Reads UNLOAD ('…') TO 's3://…' FORMAT PARQUET, and refuses what the stand-in does not write."""

from dataclasses import dataclass

from service.local.redshift.kinds import Kind, kind_of
from service.local.redshift.reader import Reader
from service.local.redshift.refusals import OWN_LIMIT, SYNTAX_ERROR, RefusedError, not_supported
from service.local.redshift.rewriting import rewritten
from service.local.redshift.statements import Statement, statements

_S3_PREFIX = "s3://"
_SWITCHES = ("ON", "TRUE", "OFF", "FALSE")


@dataclass(frozen=True, kw_only=True)
class UnloadStatement:
    """`query` is the text for PostgreSQL."""

    query: str
    prefix: str
    iam_role: str = ""
    partition_by: tuple[str, ...] = ()
    include: bool = False
    manifest: bool = False
    allow_overwrite: bool = False
    clean_path: bool = False


def read_unload(statement: Statement) -> UnloadStatement:
    """Raises RefusedError."""
    reader = Reader(statement)
    reader.expect("(")
    query = reader.take_literal()
    reader.expect(")")
    reader.expect("TO")
    prefix = reader.take_literal()
    options: set[str] = set()
    partition_by: tuple[str, ...] = ()
    while not reader.ended:
        option = _option(reader)
        if option == "PARTITION":
            partition_by = tuple(name.strip('"').lower() for name in reader.names())
            if reader.take("INCLUDE"):
                options.add("INCLUDE")
        options.add(option)
    _check(prefix, options)
    return UnloadStatement(
        query=_query(query, statement.string_bytes_max),
        prefix=prefix,
        iam_role=reader.iam_role,
        partition_by=partition_by,
        include="INCLUDE" in options,
        manifest="MANIFEST" in options,
        allow_overwrite="ALLOWOVERWRITE" in options,
        clean_path="CLEANPATH" in options,
    )


def _option(reader: Reader) -> str:
    if reader.take_authorization():
        return "AUTHORIZATION"
    if reader.take("FORMAT", "AS", "PARQUET"):
        reader.take("AS")
        reader.take("PARQUET")
        return "PARQUET"
    if reader.take("PARTITION"):
        reader.expect("BY")
        return "PARTITION"
    if reader.take("PARTITION BY"):
        return "PARTITION"
    if reader.take("PARALLEL"):
        reader.take(*_SWITCHES)
        return "PARALLEL"
    word = reader.word
    if not reader.take("MANIFEST", "ALLOWOVERWRITE", "CLEANPATH"):
        raise not_supported(f"{OWN_LIMIT} UNLOAD … {reader.unexpected().message}: the option is not supported.")
    return word


def _check(prefix: str, options: set[str]) -> None:
    if not prefix.startswith(_S3_PREFIX) or "/" not in prefix.removeprefix(_S3_PREFIX):
        raise not_supported(f"{OWN_LIMIT} UNLOAD writes to s3://bucket/prefix only.")
    for needed in ("AUTHORIZATION", "PARQUET"):
        if needed not in options:
            raise not_supported(f"{OWN_LIMIT} Only UNLOAD with credentials and FORMAT PARQUET is supported.")
    if {"ALLOWOVERWRITE", "CLEANPATH"} <= options:
        raise not_supported(f"{OWN_LIMIT} ALLOWOVERWRITE and CLEANPATH exclude each other.")
    if {"PARTITION", "CLEANPATH"} <= options:
        raise not_supported(f"{OWN_LIMIT} CLEANPATH with PARTITION BY is not supported.")


def _query(sql: str, string_bytes_max: int) -> str:
    found = statements(sql, string_bytes_max=string_bytes_max)
    if len(found) != 1 or kind_of(found[0]) is not Kind.QUERY or found[0].word(0) not in {"SELECT", "WITH"}:
        raise not_supported(f"{OWN_LIMIT} UNLOAD takes one SELECT.")
    depth = 0
    for at in range(len(found[0])):
        depth += {"(": 1, ")": -1}.get(found[0].word(at), 0)
        if depth == 0 and found[0].word(at) == "LIMIT":
            raise RefusedError(SYNTAX_ERROR, "Limit clause is not supported")
    return rewritten(found[0])
