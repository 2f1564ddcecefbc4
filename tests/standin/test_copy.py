"""COPY against the running stand-in: what it loads, what it refuses, and what is left after a refusal."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import asyncpg
import pyarrow as pa
import pytest

from tests.standin.lake import Lake, Stack, count, entry, refused, row

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="session")]


async def test_several_files_load_with_notice_tag_and_count(
    connection: asyncpg.Connection, lake: Lake, table: str
) -> None:
    await connection.execute(f"CREATE TABLE {table} (id bigint, name varchar(10))")
    files = [await lake.file({"a": pa.array([n, n + 1]), "b": pa.array(["x", "y"])}) for n in (0, 10, 20)]
    notices: list[tuple[str | None, str]] = []

    def listen(_: object, message: asyncpg.PostgresLogMessage) -> None:
        notices.append((message.severity, message.message))

    connection.add_log_listener(listen)

    tag = await connection.execute(await lake.copy(table, *files, options="STATUPDATE OFF"))

    connection.remove_log_listener(listen)
    assert tag == "COPY"
    text = f"Load into table '{table}' completed, 6 record(s) loaded successfully."
    assert notices == [("INFO", text)]
    assert await connection.fetchval("SELECT pg_last_copy_count()") == 6
    assert await connection.fetchval("SELECT pg_last_copy_id()") > 0
    assert [found["id"] for found in await connection.fetch(f"SELECT id FROM {table} ORDER BY id")] == [
        0,
        1,
        10,
        11,
        20,
        21,
    ]


async def test_values_of_every_type_arrive_unchanged(connection: asyncpg.Connection, lake: Lake, table: str) -> None:
    await connection.execute(
        f"CREATE TABLE {table} (b bool, i2 smallint, i4 integer, i8 bigint, f4 real, f8 double precision, "
        "d decimal(38,2), day date, ts timestamp, zoned timestamp, tz timestamptz, s varchar(max), small bigint)"
    )
    moment = datetime(2026, 11, 22, 1, 2, 3, 456789)  # noqa: DTZ001 - a TIMESTAMP has no zone
    before = datetime(1899, 12, 31, 23, 59, 59, 999999)  # noqa: DTZ001
    awkward = "a\"b,\nñ \\N \\. \t{}'"
    files = await lake.file(
        {
            "b": pa.array([True, False, None]),
            "i2": pa.array([-(2**15), 2**15 - 1, None], pa.int16()),
            "i4": pa.array([-(2**31), 2**31 - 1, None], pa.int32()),
            "i8": pa.array([-(2**63), 2**63 - 1, None]),
            "f4": pa.array([0.1, -3.4e38, None], pa.float32()),
            "f8": pa.array([0.1 + 0.2, float("inf"), None]),
            "d": pa.array([Decimal("-0.01"), Decimal("9" * 36 + ".99"), None], pa.decimal128(38, 2)),
            "day": pa.array([date(2026, 11, 22), date(1, 1, 1), None]),
            "ts": pa.array([moment, before, None], pa.timestamp("us")),
            "zoned": pa.array([moment, before, None], pa.timestamp("us", "America/Bogota")),
            "tz": pa.array([moment, before, None], pa.timestamp("us", "UTC")),
            "s": pa.array([awkward, "", None]),
            "small": pa.array([1, 2, None], pa.int32()),
        }
    )
    await connection.set_type_codec("numeric", schema="pg_catalog", encoder=str, decoder=Decimal, format="text")
    await connection.execute("SET timezone TO 'America/Bogota'")
    await connection.execute(await lake.copy(table, files))

    rows = await connection.fetch(f"SELECT * FROM {table} ORDER BY i8")

    single = 0.10000000149011612
    assert [tuple(found) for found in rows] == [
        (True, -(2**15), -(2**31), -(2**63), single, 0.1 + 0.2, Decimal("-0.01"), date(2026, 11, 22), moment, moment,
         moment.replace(tzinfo=UTC), awkward, 1),
        (False, 2**15 - 1, 2**31 - 1, 2**63 - 1, rows[1]["f4"], float("inf"), Decimal("9" * 36 + ".99"), date(1, 1, 1),
         before, before, before.replace(tzinfo=UTC), "", 2),
        (None,) * 13,
    ]  # fmt: skip


async def test_a_file_without_rows_loads_nothing_and_succeeds(
    connection: asyncpg.Connection, lake: Lake, table: str
) -> None:
    await connection.execute(f"CREATE TABLE {table} (id bigint)")
    assert await connection.execute(await lake.copy(table, await lake.file({"a": pa.array([], pa.int64())}))) == "COPY"
    assert await connection.fetchval("SELECT pg_last_copy_count()") == 0


async def test_a_single_column_of_nulls_keeps_its_rows(connection: asyncpg.Connection, lake: Lake, table: str) -> None:
    await connection.execute(f"CREATE TABLE {table} (s varchar(5))")
    await connection.execute(await lake.copy(table, await lake.file({"a": pa.array([None, "", None], pa.string())})))
    assert await count(connection, table) == 3
    assert await connection.fetchval(f"SELECT count(*) FROM {table} WHERE s IS NULL") == 2


async def test_columns_match_by_position_so_swapped_ones_load_swapped(
    connection: asyncpg.Connection, lake: Lake, table: str
) -> None:
    await connection.execute(f"CREATE TABLE {table} (first varchar(5), second varchar(5))")
    file = await lake.file({"second": pa.array(["2"]), "first": pa.array(["1"])})
    await connection.execute(await lake.copy(table, file))
    assert await row(connection, f"SELECT first, second FROM {table}") == ("2", "1")


async def test_a_column_list_names_the_targets_and_leaves_defaults(
    connection: asyncpg.Connection, lake: Lake, table: str
) -> None:
    await connection.execute(f"CREATE TABLE {table} (a int, b int DEFAULT 7, c int)")
    file = await lake.file({"x": pa.array([1], pa.int32()), "y": pa.array([2], pa.int32())})
    await connection.execute(await lake.copy(f"{table} (C, a)", file))
    assert await row(connection, f"SELECT a, b, c FROM {table}") == (2, 7, 1)


async def test_fillrecord_fills_missing_last_columns_with_null(
    connection: asyncpg.Connection, lake: Lake, table: str
) -> None:
    await connection.execute(f"CREATE TABLE {table} (a int, b int DEFAULT 7)")
    file = await lake.file({"x": pa.array([1], pa.int32())})
    await connection.execute(await lake.copy(table, file, options="FILLRECORD"))
    assert await row(connection, f"SELECT a, b FROM {table}") == (1, None)


async def test_the_same_file_twice_loads_twice(connection: asyncpg.Connection, lake: Lake, table: str) -> None:
    await connection.execute(f"CREATE TABLE {table} (a bigint)")
    file = await lake.file({"x": pa.array([1])})
    await connection.execute(await lake.copy(table, file, file))
    assert await count(connection, table) == 2


async def test_duplicates_of_a_primary_key_are_accepted(connection: asyncpg.Connection, lake: Lake, table: str) -> None:
    await connection.execute(f"CREATE TABLE {table} (id bigint, n int, UNIQUE (n), PRIMARY KEY (id, n))")
    file = await lake.file({"x": pa.array([1, 1]), "y": pa.array([2, 2], pa.int32())})
    await connection.execute(await lake.copy(table, file))
    await connection.execute(f"INSERT INTO {table} VALUES (1, 2)")
    assert await count(connection, table) == 3


async def test_text_in_a_super_column_is_a_string_until_parsed(
    connection: asyncpg.Connection, lake: Lake, table: str
) -> None:
    await connection.execute(f"CREATE TABLE {table} (s super)")
    file = await lake.file({"x": pa.array(['{"b": [1, "é"], "a": null}', None])})
    await connection.execute(await lake.copy(table, file, options="SERIALIZETOJSON"))
    sql = (
        "SELECT json_typeof(s), json_typeof(json_parse(s)), json_serialize(json_parse(s)), json_serialize(s) "
        f"FROM {table} WHERE s IS NOT NULL"
    )
    assert await row(connection, sql) == (
        "string",
        "object",
        '{"a":null,"b":[1,"é"]}',
        '"{\\"b\\": [1, \\"é\\"], \\"a\\": null}"',
    )


async def test_nested_columns_become_documents_in_super(connection: asyncpg.Connection, lake: Lake, table: str) -> None:
    await connection.execute(f"CREATE TABLE {table} (s super)")
    file = await lake.file({"x": pa.array([{"a": [1, 2], "b": None}])})
    await connection.execute(await lake.copy(table, file, options="SERIALIZETOJSON"))
    assert await connection.fetchval(f"SELECT json_serialize(s) FROM {table}") == '{"a":[1,2],"b":null}'


REFUSED = [
    pytest.param(
        {"a": pa.array([1]), "b": pa.array(["x"])},
        "Unmatched number of columns between table and file. Table columns: 3, Data columns: 2, File name: https://s3.",
        id="too few columns",
    ),
    pytest.param(
        {"a": pa.array([1]), "b": pa.array(["ñ" * 3]), "c": pa.array([1], pa.int32())},
        "The length of the data column name is longer than the length defined in the table. Table: 5, Data: 6, File",
        id="too many bytes",
    ),
    pytest.param(
        {"a": pa.array([1]), "b": pa.array(["x"]), "c": pa.array([1])},
        ".c'. Column type: INTEGER, Parquet schema:\noptional int64 c [i:2 d:1 r:0]",
        id="INT64 into INTEGER",
    ),
    pytest.param(
        {"a": pa.array([1]), "b": pa.array([1]), "c": pa.array([1], pa.int32())},
        ".b'. Column type: VARCHAR(5), Parquet schema:\noptional int64 b",
        id="number into VARCHAR",
    ),
]


@pytest.mark.parametrize(("columns", "context"), REFUSED)
async def test_a_bad_file_among_good_ones_is_refused_and_loads_nothing(
    connection: asyncpg.Connection, lake: Lake, table: str, columns: dict[str, Any], context: str
) -> None:
    await connection.execute(f"CREATE TABLE {table} (id bigint, name varchar(5), n int)")
    good = await lake.file({"a": pa.array([1]), "b": pa.array(["x"]), "c": pa.array([1], pa.int32())})

    error = await refused(connection, await lake.copy(table, good, await lake.file(columns), good))

    assert (error.sqlstate, error.message) == ("XX000", "Spectrum Scan Error")
    assert "code:      15007" in error.detail
    assert context in error.detail
    assert "dt%3D2026-11-22" in error.detail
    assert await count(connection, table) == 0


async def test_null_into_a_not_null_column_is_refused(connection: asyncpg.Connection, lake: Lake, table: str) -> None:
    await connection.execute(f"CREATE TABLE {table} (id bigint NOT NULL)")
    error = await refused(connection, await lake.copy(table, await lake.file({"a": pa.array([1, None])})))
    assert error.message == "Cannot insert a NULL value into column id"


async def test_super_needs_serializetojson(connection: asyncpg.Connection, lake: Lake, table: str) -> None:
    await connection.execute(f"CREATE TABLE {table} (s super)")
    error = await refused(connection, await lake.copy(table, await lake.file({"x": pa.array(["{}"])})))
    assert error.message == "SUPER column in COPY query requires SERIALIZETOJSON option"
    assert "code:      8001" in error.detail


async def test_values_stay_out_of_errors(connection: asyncpg.Connection, lake: Lake, table: str) -> None:
    await connection.execute(f"CREATE TABLE {table} (s super)")
    file = await lake.file({"x": pa.array(["secret \x00"])})
    error = await refused(connection, await lake.copy(table, file, options="SERIALIZETOJSON"))
    assert error.sqlstate == "22P05"
    assert "secret" not in error.fields


async def test_a_manifest_entry_without_meta_is_refused(connection: asyncpg.Connection, lake: Lake, table: str) -> None:
    await connection.execute(f"CREATE TABLE {table} (a bigint)")
    file = await lake.file({"x": pa.array([1])})
    del file["meta"]
    error = await refused(connection, await lake.copy(table, file))
    assert error.message == "File entry does not have 'meta' key."
    assert "code:      15003" in error.detail


async def test_a_wrong_content_length_is_refused(connection: asyncpg.Connection, lake: Lake, table: str) -> None:
    await connection.execute(f"CREATE TABLE {table} (a bigint)")
    file = await lake.file({"x": pa.array([1])})
    file["meta"]["content_length"] += 1
    error = await refused(connection, await lake.copy(table, await lake.file({"x": pa.array([1])}), file))
    assert "content_length" in error.detail
    assert await count(connection, table) == 0


async def test_a_missing_file_fails_only_if_mandatory(connection: asyncpg.Connection, lake: Lake, table: str) -> None:
    await connection.execute(f"CREATE TABLE {table} (a bigint)")
    file = await lake.file({"x": pa.array([1])})

    error = await refused(connection, await lake.copy(table, file, entry("gone.parquet", 9)))
    assert "File not found" in error.detail
    assert await count(connection, table) == 0

    await connection.execute(await lake.copy(table, file, entry("gone.parquet", 9, mandatory=False)))
    assert await count(connection, table) == 1

    error = await refused(connection, await lake.copy(table, entry("gone.parquet", 9, mandatory=False)))
    assert "File not found" in error.detail


async def test_what_is_no_parquet_file_is_refused(connection: asyncpg.Connection, lake: Lake, table: str) -> None:
    await connection.execute(f"CREATE TABLE {table} (a bigint)")
    error = await refused(connection, await lake.copy(table, await lake.object(b"id,name\n1,secret\n")))
    assert "Not a readable Parquet file" in error.detail
    assert "secret" not in error.fields


async def test_a_missing_table_is_the_backends_own_error(connection: asyncpg.Connection, lake: Lake) -> None:
    error = await refused(connection, await lake.copy("nowhere.t", await lake.file({"x": pa.array([1])})))
    assert error.sqlstate in {"42P01", "3F000"}


async def test_rollback_takes_a_copy_back(connection: asyncpg.Connection, lake: Lake, table: str) -> None:
    await connection.execute(f"CREATE TABLE {table} (a bigint)")
    copy = await lake.copy(table, await lake.file({"x": pa.array([1, 2])}))
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute(copy)
    assert await count(connection, table) == 2
    assert await connection.fetchval("SELECT pg_last_copy_count()") == 2
    await transaction.rollback()
    assert await count(connection, table) == 0
    assert await connection.fetchval("SELECT pg_last_copy_count()") == 0


async def test_after_a_failed_copy_the_last_count_is_zero(
    connection: asyncpg.Connection, lake: Lake, table: str
) -> None:
    await connection.execute(f"CREATE TABLE {table} (a bigint)")
    good = await lake.file({"x": pa.array([1])})
    await connection.execute(await lake.copy(table, good))
    await refused(connection, await lake.copy(table, good, entry("gone.parquet", 1)))
    assert await connection.fetchval("SELECT pg_last_copy_count()") == 0


@pytest.mark.parametrize("cause", ["in a file", "before any file", "in the statement"])
async def test_after_a_refusal_the_transaction_is_aborted(
    connection: asyncpg.Connection, lake: Lake, table: str, cause: str
) -> None:
    await connection.execute(f"CREATE TABLE {table} (a bigint)")
    good = await lake.file({"x": pa.array([1])})
    statements = {
        "in a file": await lake.copy(table, good, await lake.file({"x": pa.array(["x"])})),
        "before any file": await lake.copy(table, {"url": good["url"]}),
        "in the statement": await lake.copy(table, good, options="REGION 'eu-west-1'"),
    }
    await connection.execute("BEGIN")
    await connection.execute(f"INSERT INTO {table} VALUES (7)")

    await refused(connection, statements[cause])

    assert (await refused(connection, f"SELECT * FROM {table}")).sqlstate == "25P02"
    assert (await refused(connection, await lake.copy(table, good))).sqlstate == "25P02"
    assert await connection.execute("COMMIT") == "ROLLBACK"
    assert await count(connection, table) == 0


async def test_the_loaders_transaction_works_as_a_whole(connection: asyncpg.Connection, lake: Lake, table: str) -> None:
    await connection.execute(f"CREATE TABLE {table} (id bigint, name varchar(20)) DISTKEY(id) SORTKEY(id)")
    file = await lake.file({"x": pa.array([1, 2, 2]), "y": pa.array(["a", "b", "b"])})
    async with connection.transaction():
        await connection.execute(f"LOCK {table}")
        await connection.execute(f"CREATE TEMP TABLE fresh (LIKE {table})")
        await connection.execute(await lake.copy("fresh", file))
        assert await connection.fetchval("SELECT pg_last_copy_count()") == 3
        await connection.execute(f"INSERT INTO {table} SELECT DISTINCT * FROM fresh")
        await connection.execute("DROP TABLE fresh")
    assert [found["id"] for found in await connection.fetch(f"SELECT id FROM {table} WHERE id > $1", 1)] == [2]


async def test_a_copy_of_a_transaction_that_read_too_much_gets_1023(
    connection: asyncpg.Connection, stack: Stack, lake: Lake, table: str
) -> None:
    await connection.execute(f"CREATE TABLE {table} (a bigint)")
    copy = await lake.copy(table, await lake.file({"x": pa.array([1])}))
    other = await asyncpg.connect(stack.dsn)
    for each in (connection, other):
        await each.execute("BEGIN")
        assert await count(each, table) == 0
    await connection.execute(f"{copy}; COMMIT")
    error = await refused(other, f"{copy}; COMMIT")
    assert (error.sqlstate, error.message) == ("XX000", "1023")
    assert error.detail.startswith("Serializable isolation violation on xid - ")
    await other.close()
    assert await count(connection, table) == 1


async def test_a_text_of_several_statements_stops_at_the_first_failure(
    connection: asyncpg.Connection, lake: Lake, table: str
) -> None:
    await connection.execute(f"CREATE TABLE {table} (a bigint)")
    copy = await lake.copy(table, await lake.file({"x": pa.array([1])}))
    await connection.execute(f"BEGIN; {copy}; INSERT INTO {table} VALUES (2); COMMIT")
    assert await count(connection, table) == 2

    bad = await lake.copy(table, entry("gone.parquet", 1))
    await refused(connection, f"BEGIN; {copy}; {bad}; COMMIT")
    await connection.execute("ROLLBACK")
    assert await count(connection, table) == 2
