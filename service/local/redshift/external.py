"""Reads CREATE EXTERNAL SCHEMA and CREATE EXTERNAL TABLE (AWS: both), which are names and rights here, without data."""

from service.local.redshift.grantees import Rights, folded, literal, quoted
from service.local.redshift.reader import Reader
from service.local.redshift.refusals import OWN_LIMIT, not_supported
from service.local.redshift.rights import check_own_names
from service.local.redshift.statements import Statement

_TYPES = frozenset(
    {"SMALLINT", "INT2", "INTEGER", "INT", "INT4", "BIGINT", "INT8", "DECIMAL", "NUMERIC", "REAL", "FLOAT4", "FLOAT8",
     "BOOLEAN", "BOOL", "CHAR", "VARCHAR", "DATE", "TIMESTAMP"}
)  # fmt: skip


def read_external(statement: Statement) -> Rights:
    """Raises RefusedError."""
    check_own_names(statement)
    reader = Reader(statement, start=2)
    if reader.take("SCHEMA"):
        return _schema(reader)
    reader.expect("TABLE")
    return _table(reader)


def _schema(reader: Reader) -> Rights:
    lenient = _if_not_exists(reader)
    name = folded(reader.name())
    reader.expect("FROM")
    if not reader.take("DATA"):
        raise not_supported(f"{OWN_LIMIT} External schemas come from the data catalog only.")
    reader.expect("CATALOG")
    reader.expect("DATABASE")
    database = reader.take_literal()
    if reader.take("REGION"):
        reader.take_literal()
    if not reader.take_authorization() or not reader.iam_role:
        raise reader.unexpected()
    command = "CREATE EXTERNAL SCHEMA"
    alone = ""
    if reader.take("CREATE"):
        for word in ("EXTERNAL", "DATABASE", "IF", "NOT", "EXISTS"):
            reader.expect(word)
        alone = f"{command} with CREATE EXTERNAL DATABASE"
    reader.end()
    given = f"{literal(name)}, {str(lenient).lower()}, {literal(database)}, {literal(reader.iam_role)}"
    return Rights(f"SELECT redshift.create_external_schema({given})", "", "CREATE SCHEMA", alone=alone)


def _table(reader: Reader) -> Rights:
    schema = folded(reader.name())
    reader.expect(".")
    name = folded(reader.name())
    columns = _columns(reader)
    reader.expect("STORED")
    reader.expect("AS")
    if not reader.take("PARQUET"):
        raise not_supported(f"{OWN_LIMIT} External tables are STORED AS PARQUET only, without PARTITIONED BY.")
    reader.expect("LOCATION")
    reader.take_literal()
    reader.end()
    given = f"{literal(schema)}, {literal(name)}, {literal(columns)}"
    change = f"SELECT redshift.create_external_table({given})"
    return Rights(change, "", "CREATE TABLE", alone="CREATE EXTERNAL TABLE")


def _columns(reader: Reader) -> str:
    """The list of columns, for PostgreSQL."""
    found = []
    reader.expect("(")
    while True:
        name, kind = quoted(folded(reader.name())), reader.word
        if not reader.take(*_TYPES):
            raise not_supported(f"{OWN_LIMIT} An external table's column of the type {kind} is not supported.")
        found.append(f"{name} {kind}{_size(reader)}")
        if not reader.take(","):
            break
    reader.expect(")")
    return ", ".join(found)


def _size(reader: Reader) -> str:
    if not reader.take("("):
        return ""
    size = reader.word
    if not reader.take_number():
        raise reader.unexpected()
    if reader.take(","):
        size += f", {reader.word}"
        if not reader.take_number():
            raise reader.unexpected()
    reader.expect(")")
    return f"({size})"


def _if_not_exists(reader: Reader) -> bool:
    if not reader.take("IF"):
        return False
    reader.expect("NOT")
    reader.expect("EXISTS")
    return True
