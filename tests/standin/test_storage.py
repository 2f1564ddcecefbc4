"""Encodings, distribution, sort keys and keys: nothing is stored by them here, and Redshift's rules for them hold."""

import asyncpg
import pytest

from tests.standin.lake import count, refused, row

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="session")]

OWN = "[stand-in]"

TYPES = (
    "smallint", "integer", "bigint", "decimal(9,2)", "real", "double precision", "boolean", "char(9)", "varchar(9)",
    "date", "timestamp", "timestamptz", "super",
)  # fmt: skip
WHOLE = ("smallint", "integer", "bigint", "decimal(9,2)")
TIMES = ("date", "timestamp", "timestamptz")
TAKEN = {  # D: AWS, Compression encodings
    "raw": TYPES,
    "az64": (*WHOLE, *TIMES),
    "bytedict": (*WHOLE, *TIMES, "real", "double precision", "char(9)", "varchar(9)"),
    "delta": (*WHOLE, "date", "timestamp"),
    "delta32k": ("integer", "bigint", "decimal(9,2)", "date", "timestamp"),
    "lzo": (*WHOLE, *TIMES, "char(9)", "varchar(9)", "super"),
    "mostly8": WHOLE,
    "mostly16": ("integer", "bigint", "decimal(9,2)"),
    "mostly32": ("bigint", "decimal(9,2)"),
    "runlength": tuple(kind for kind in TYPES if kind != "super"),
    "text255": ("varchar(9)",),
    "text32k": ("varchar(9)",),
    "zstd": TYPES,
}


@pytest.mark.parametrize("encoding", TAKEN)
async def test_an_encoding_goes_with_its_types_only(connection: asyncpg.Connection, table: str, encoding: str) -> None:
    """The text is R; of the number it is known only that it is not 0A000."""
    taken = ", ".join(f"c{at} {kind} ENCODE {encoding}" for at, kind in enumerate(TAKEN[encoding]))
    await connection.execute(f"CREATE TABLE {table} (first int, {taken})")
    for kind in sorted({*TYPES} - {*TAKEN[encoding]}):
        for sql in (
            f"CREATE TABLE {table}_x (a int, c {kind} NOT NULL ENCODE {encoding.upper()})",
            f"ALTER TABLE {table} ADD COLUMN c {kind} ENCODE {encoding}",
        ):
            assert (await refused(connection, sql)).message == 'invalid encoding type specified for column "c"'


@pytest.mark.parametrize("kind", ["int2", "numeric(5,1)", "int", "timestamp without time zone", "int8"])
async def test_other_words_for_a_type_count_alike(connection: asyncpg.Connection, table: str, kind: str) -> None:
    await connection.execute(f"CREATE TABLE {table} (c {kind} ENCODE az64, v character varying(9) ENCODE text255)")
    for sql in ("c nvarchar(9) ENCODE az64", "c bool ENCODE az64", "c float ENCODE az64", "c text ENCODE delta"):
        assert "invalid encoding" in (await refused(connection, f"CREATE TABLE {table}_x ({sql})")).message


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE {t} (a int) DISTSTYLE ALL DISTKEY (a)",
        "CREATE TABLE {t} (a int) DISTKEY (a) DISTSTYLE EVEN",
        "CREATE TABLE {t} (a int DISTKEY) DISTSTYLE AUTO",
        "CREATE TABLE {t} (a int DISTKEY) DISTSTYLE ALL",
        "CREATE TABLE {t} (a int) DISTSTYLE KEY",
        "CREATE TABLE {t} (a int DISTKEY, b int DISTKEY)",
        "CREATE TABLE {t} (a int DISTKEY, b int) DISTKEY (b)",
        "CREATE TABLE {t} (a int, b int) DISTKEY (a, b)",
        "CREATE TABLE {t} DISTSTYLE KEY AS SELECT 1 AS a",
        "CREATE TABLE {t} DISTSTYLE EVEN DISTKEY (a) AS SELECT 1 AS a",
        "CREATE TABLE {t} (LIKE {t}_from) DISTSTYLE ALL",
        "CREATE TABLE {t} (LIKE {t}_from) SORTKEY (a)",
        "CREATE TABLE {t} (LIKE {t}_from) BACKUP NO",
    ],
)
async def test_distribution_that_contradicts_itself_is_refused(
    connection: asyncpg.Connection, table: str, sql: str
) -> None:  # D; the text U
    await connection.execute(f"CREATE TABLE {table}_from (a int)")
    assert (await refused(connection, sql.format(t=table))).message.startswith(OWN)


async def test_columns_that_the_table_is_stored_by_are_not_dropped(
    connection: asyncpg.Connection, table: str
) -> None:  # D; the texts R, of keys and of the last column U
    await connection.execute(
        f"CREATE TABLE {table} (d int, s int, t int, u int UNIQUE, p int, f int, n int, "
        "PRIMARY KEY (p), FOREIGN KEY (f) REFERENCES elsewhere (f)) DISTKEY (d) COMPOUND SORTKEY (s, t)"
    )
    await connection.execute(f"CREATE TABLE {table}_like (LIKE {table}); CREATE TABLE {table}_one (a int)")
    await connection.execute(f"ALTER TABLE {table} RENAME COLUMN s TO sorted")
    for column, message in (
        ("d", 'cannot drop distkey column "d"'),
        ("sorted", 'cannot drop sortkey column "sorted"'),
        ("t CASCADE", 'cannot drop sortkey column "t"'),
        ("u", f'{OWN} The column "u" is part of a key.'),
        ("p", f'{OWN} The column "p" is part of a key.'),
        ("f", f'{OWN} The column "f" is part of a key.'),
    ):
        assert (await refused(connection, f"ALTER TABLE {table} DROP COLUMN {column}")).message == message
    assert "sortkey" in (await refused(connection, f"ALTER TABLE {table}_like DROP COLUMN s")).message
    assert (await refused(connection, f"ALTER TABLE {table}_one DROP COLUMN a")).message.startswith(OWN)
    await connection.execute(f"ALTER TABLE {table} DROP COLUMN n; ALTER TABLE {table}_like DROP COLUMN u")
    await connection.execute(f"DROP TABLE {table}")


@pytest.mark.parametrize("temp", ["", "TEMP "])
async def test_a_varchar_is_resized_where_nothing_speaks_against_it(
    connection: asyncpg.Connection, table: str, temp: str
) -> None:  # D; the texts of encodings and sizes R, the others U
    await connection.execute(
        f"CREATE {temp}TABLE {table} (b varchar(5) ENCODE bytedict, r varchar(5) ENCODE runlength, "
        "t varchar(5) ENCODE text255, k varchar(5) ENCODE text32k, d varchar(5) DEFAULT 'x', u varchar(5) UNIQUE, "
        "p varchar(5), f varchar(5) REFERENCES elsewhere, n int, c char(5), v varchar(5) ENCODE zstd, "
        "PRIMARY KEY (p)) SORTKEY (v)"
    )
    await connection.execute(f"INSERT INTO {table} (n, v) VALUES (1, 'ab ')")
    await connection.execute(f"ALTER TABLE {table} ADD COLUMN later varchar(5) ENCODE bytedict")
    what = 'cannot alter column "{}" of relation "' + table + '"'
    for column, encoding in (("b", "bytedict"), ("r", "runlength"), ("t", "text255"), ("k", "text32k")):
        found = await refused(connection, f"ALTER TABLE {table} ALTER COLUMN {column} TYPE varchar(9)")
        assert (found.sqlstate, found.message) == ("0A000", f'{what.format(column)} with encode type "{encoding}"')
    assert "bytedict" in (await refused(connection, f"ALTER TABLE {table} ALTER COLUMN later TYPE varchar(9)")).message
    for column in ("d", "u", "p", "f", "n", "c"):
        found = await refused(connection, f"ALTER TABLE {table} ALTER COLUMN {column} TYPE varchar(9)")
        assert found.message.startswith(f"{OWN} {what.format(column)}")
    found = await refused(connection, f"ALTER TABLE {table} ALTER COLUMN v TYPE varchar(5)")
    assert (found.sqlstate, found.message) == ("0A000", f"{what.format('v')}, target column size should be different")
    found = await refused(connection, f"ALTER TABLE {table} ALTER COLUMN v TYPE varchar(2)")
    assert found.message == "target column size should be greater or equal to current maximum column size"
    for more in ("USING left(v, 1)", "|| 'x'"):
        found = await refused(connection, f"ALTER TABLE {table} ALTER COLUMN v TYPE varchar(9) {more}")
        assert found.sqlstate == "42601"
    for size in ("3", "9", "MAX"):
        await connection.execute(f"ALTER TABLE {table} ALTER COLUMN v TYPE varchar({size})")
    assert await row(connection, f"SELECT v || '|' FROM {table}") == ("ab |",)
    assert await count(connection, table) == 1


async def test_the_extended_protocol_is_no_way_around(connection: asyncpg.Connection, table: str) -> None:
    await connection.fetch(f"CREATE TABLE {table} (a int, v varchar(5)) SORTKEY (a)")
    with pytest.raises(asyncpg.PostgresError, match="cannot drop sortkey"):
        await connection.fetch(f"ALTER TABLE {table} DROP COLUMN a")
    await connection.execute("BEGIN")
    with pytest.raises(asyncpg.PostgresError, match="ALTER TABLE ALTER COLUMN is taken as a simple query only"):
        await connection.fetch(f"ALTER TABLE {table} ALTER COLUMN v TYPE varchar(9)")
    await connection.execute("ROLLBACK")


async def test_each_statement_of_a_text_has_its_own_note(connection: asyncpg.Connection, table: str) -> None:
    await connection.execute(
        f"CREATE TABLE {table} (a int, b int); CREATE TABLE IF NOT EXISTS {table} (a int DISTKEY, b int); "
        f"ALTER TABLE {table} ADD COLUMN c int; ALTER TABLE {table} RENAME TO {table}_new; "
        f"ALTER TABLE {table}_new ADD COLUMN v varchar(5) ENCODE bytedict; ALTER TABLE {table}_new DROP COLUMN a"
    )
    found = await refused(connection, f"ALTER TABLE {table}_new ALTER COLUMN v TYPE varchar(9)")
    assert found.message == f'cannot alter column "v" of relation "{table}_new" with encode type "bytedict"'


async def test_a_name_cannot_end_the_note_behind_its_statement(connection: asyncpg.Connection, table: str) -> None:
    await connection.execute(f'CREATE TABLE {table} ("a*/b\'\\\\" int, "é" int) DISTKEY ("a*/b\'\\\\") SORTKEY ("é")')
    assert "sortkey" in (await refused(connection, f'ALTER TABLE {table} DROP COLUMN "é"')).message
    assert "distkey" in (await refused(connection, f'ALTER TABLE {table} DROP COLUMN "a*/b\'\\\\"')).message


async def test_a_key_that_a_query_does_not_give_is_refused(connection: asyncpg.Connection, table: str) -> None:
    found = await refused(connection, f"CREATE TABLE {table} SORTKEY (b) AS SELECT 1 AS a")
    assert (found.sqlstate, found.message) == ("42703", 'column "b" named in key does not exist')


async def test_a_view_is_replaced_by_one_of_the_same_columns(
    connection: asyncpg.Connection, table: str
) -> None:  # D; the text U
    await connection.execute(
        f"CREATE TABLE {table} (a int, b varchar(5)); CREATE VIEW {table}_v AS SELECT a FROM {table}"
    )
    for query in ("a, b", "a AS c", "a::bigint AS a", "b"):
        found = await refused(connection, f"CREATE OR REPLACE VIEW {table}_v AS SELECT {query} FROM {table}")
        assert found.sqlstate == "42P16"
    await connection.execute(f"CREATE OR REPLACE VIEW {table}_v AS SELECT a FROM {table} WHERE a > 1")
    await connection.execute(f"DROP VIEW {table}_v")
    await connection.execute(f"CREATE OR REPLACE VIEW {table}_v AS SELECT a, b FROM {table}")
