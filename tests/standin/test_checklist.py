"""What Redshift does, row by row: the conformance checklist of the stand-in, driven through a real client.

The tag behind a row's words says where the expectation comes from: M measured on Redshift, D documented, R told by
others who saw it. U is not known: there the test holds the stand-in to refusing, not to a text.
"""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal

import asyncpg
import pyarrow as pa
import pytest
import pytest_asyncio

from tests.standin.lake import BUCKET, Lake, Stack, count, entry, refused, row

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="session")]

OWN = "[stand-in]"


@pytest_asyncio.fixture(loop_scope="session")
async def other(stack: Stack) -> AsyncIterator[asyncpg.Connection]:
    connected = await asyncpg.connect(stack.dsn, statement_cache_size=0)
    yield connected
    async with asyncio.timeout(10):
        await connected.close()


async def waits_for_a_lock(watcher: asyncpg.Connection, waiting: asyncpg.Connection) -> None:
    """Return once the other connection stands in a queue for a lock; the test's own time limit ends a wait in vain."""
    process = waiting.get_server_pid()
    while not await watcher.fetchval("SELECT count(*) FROM pg_locks WHERE pid = $1 AND NOT granted", process):
        pass


async def test_row_01_copy_three_files_by_manifest_gives_tag_notice_count_and_a_history_row(
    connection: asyncpg.Connection, lake: Lake, table: str
) -> None:
    await connection.execute(f"CREATE TABLE {table} (id bigint, name varchar(10))")
    files = [await lake.file({"a": pa.array([n, n + 1]), "b": pa.array(["x", "y"])}) for n in (0, 10, 20)]
    notices: list[tuple[str | None, str]] = []

    def listen(_: object, message: asyncpg.PostgresLogMessage) -> None:
        notices.append((message.severity, message.message))

    connection.add_log_listener(listen)
    copy = await lake.copy(table, *files)

    assert await connection.execute(copy) == "COPY"

    connection.remove_log_listener(listen)
    assert notices == [("INFO", f"Load into table '{table}' completed, 6 record(s) loaded successfully.")]
    assert await connection.fetchval("SELECT pg_last_copy_count()") == 6
    history = await connection.fetch(
        "SELECT status, loaded_rows, source_file_count, error_count, data_source FROM sys_load_history "
        f"WHERE query_id = pg_last_copy_id() AND table_name = '{table}'"
    )
    assert [tuple(found) for found in history] == [("completed", 6, 3, 0, copy.split("'")[1])]
    detail = await connection.fetch(
        "SELECT TRIM(file_name) AS name, length(file_name || '|') AS padded, lines_scanned FROM sys_load_detail "
        "WHERE query_id = pg_last_copy_id() ORDER BY 1"
    )
    assert sorted((found["name"], found["lines_scanned"]) for found in detail) == sorted(
        (file["url"], 2) for file in files
    )


async def test_row_02_one_too_long_string_in_three_files_loads_nothing_and_leaves_an_error_row(
    connection: asyncpg.Connection, lake: Lake, table: str
) -> None:  # M
    await connection.execute(f"CREATE TABLE {table} (descricao varchar(5))")
    good, bad = await lake.file({"a": pa.array(["x"])}), await lake.file({"a": pa.array(["123456"])})

    await connection.execute("BEGIN")
    error = await refused(connection, await lake.copy(table, good, bad, good))
    await connection.execute("ROLLBACK")

    assert (error.sqlstate, error.message) == ("XX000", "Spectrum Scan Error")
    assert "code:      15007" in error.detail
    text = "The length of the data column descricao is longer than the length defined in the table. Table: 5, Data: 6"
    assert text in error.detail
    assert await count(connection, table) == 0
    found = await row(
        connection,
        "SELECT TRIM(file_name), TRIM(column_name), TRIM(column_type), TRIM(column_length), error_code, "
        f"octet_length(error_message), TRIM(error_message) FROM sys_load_error_detail WHERE file_name = '{bad['url']}'",
    )
    assert found[:6] == (bad["url"], "descricao", "varchar", "5", 15007, 512)
    assert found[6].startswith(text)
    assert await row(
        connection, f"SELECT status, loaded_rows, error_count FROM sys_load_history WHERE table_name = '{table}'"
    ) == ("aborted", 0, 1)


async def test_row_03_varchar_counts_bytes(connection: asyncpg.Connection, lake: Lake, table: str) -> None:  # D, M
    await connection.execute(f"CREATE TABLE {table} (s varchar(200), bare varchar)")
    file = await lake.file({"a": pa.array(["€" * 100]), "b": pa.array(["x"])})
    assert "Table: 200, Data: 300" in (await refused(connection, await lake.copy(table, file))).detail
    for statement in (
        f"INSERT INTO {table} VALUES ('{'€' * 100}', 'x')",
        f"INSERT INTO {table} SELECT '{'€' * 100}', 'x'",
        f"UPDATE {table} SET s = '{'€' * 100}'",
        f"INSERT INTO {table} (s) VALUES ($1)",
    ):
        await connection.execute(f"INSERT INTO {table} VALUES ('old', 'x')")
        found = await refused(connection, statement, *(["€" * 100] if "$1" in statement else []))
        assert (found.sqlstate, found.message) == ("22001", "value too long for type character varying(200)")
    found = await refused(connection, f"INSERT INTO {table} (bare) VALUES ('{'x' * 257}')")
    assert found.message == "value too long for type character varying(256)"
    await connection.execute(f"INSERT INTO {table} VALUES ('{'€' * 66}' || '   ', '{'x' * 256}')")
    assert await connection.fetchval("SELECT 'ñññ'::varchar(5)") == "ññ"


async def test_row_04_a_file_of_five_columns_does_not_fit_a_table_of_six(
    connection: asyncpg.Connection, lake: Lake, table: str
) -> None:  # M
    await connection.execute(f"CREATE TABLE {table} (a int, b int, c int, d int, e int, f int)")
    file = await lake.file({name: pa.array([1], pa.int32()) for name in "abcde"})
    error = await refused(connection, await lake.copy(table, file))
    assert "Unmatched number of columns between table and file. Table columns: 6, Data columns: 5" in error.detail


async def test_row_05_unless_a_column_list_names_five(
    connection: asyncpg.Connection, lake: Lake, table: str
) -> None:  # M
    await connection.execute(f"CREATE TABLE {table} (a int, b int, c int, d int, e int, f int DEFAULT 7, g int)")
    file = await lake.file({name: pa.array([1], pa.int32()) for name in "abcde"})
    await connection.execute(await lake.copy(f"{table} (a, b, c, d, e)", file))
    assert await row(connection, f"SELECT * FROM {table}") == (1, 1, 1, 1, 1, 7, None)


async def test_row_06_or_fillrecord_fills_the_last(connection: asyncpg.Connection, lake: Lake, table: str) -> None:  # M
    await connection.execute(f"CREATE TABLE {table} (a int, b int, f int)")
    file = await lake.file({name: pa.array([1], pa.int32()) for name in "ab"})
    await connection.execute(await lake.copy(table, file, options="FILLRECORD"))
    assert await row(connection, f"SELECT * FROM {table}") == (1, 1, None)


async def test_row_07_swapped_columns_load_swapped(connection: asyncpg.Connection, lake: Lake, table: str) -> None:  # D
    await connection.execute(f"CREATE TABLE {table} (first varchar(5), second varchar(5))")
    await connection.execute(
        await lake.copy(table, await lake.file({"second": pa.array(["2"]), "first": pa.array(["1"])}))
    )
    assert await row(connection, f"SELECT first, second FROM {table}") == ("2", "1")


async def test_row_08_int64_does_not_fit_integer_int32_fits_bigint(
    connection: asyncpg.Connection, lake: Lake, table: str
) -> None:  # R, M
    await connection.execute(f"CREATE TABLE {table} (a integer); CREATE TABLE {table}_big (a bigint)")
    error = await refused(connection, await lake.copy(table, await lake.file({"a": pa.array([1])})))
    assert "has an incompatible Parquet schema for column" in error.detail
    assert "code:      15007" in error.detail
    await connection.execute(await lake.copy(f"{table}_big", await lake.file({"a": pa.array([1], pa.int32())})))
    assert await count(connection, f"{table}_big") == 1


async def test_row_09_a_manifest_entry_needs_meta(connection: asyncpg.Connection, lake: Lake, table: str) -> None:  # R
    await connection.execute(f"CREATE TABLE {table} (a bigint)")
    file = await lake.file({"a": pa.array([1])})
    del file["meta"]
    error = await refused(connection, await lake.copy(table, file))
    assert error.message == "File entry does not have 'meta' key."
    assert "code:      15003" in error.detail


async def test_row_10_a_missing_file_is_skipped_unless_mandatory_and_all_missing_fails(
    connection: asyncpg.Connection, lake: Lake, table: str
) -> None:  # D
    await connection.execute(f"CREATE TABLE {table} (a bigint)")
    file, gone = await lake.file({"a": pa.array([1])}), entry("gone", 9, mandatory=False)
    await connection.execute(await lake.copy(table, file, gone))
    assert await count(connection, table) == 1
    assert (
        "File not found"
        in (await refused(connection, await lake.copy(table, file, {**gone, "mandatory": True}))).detail
    )
    assert "File not found" in (await refused(connection, await lake.copy(table, gone))).detail


async def test_row_11_the_same_url_twice_doubles_the_rows(
    connection: asyncpg.Connection, lake: Lake, table: str
) -> None:  # M, D
    await connection.execute(f"CREATE TABLE {table} (a bigint)")
    file = await lake.file({"a": pa.array([1])})
    await connection.execute(await lake.copy(table, file, file))
    assert await count(connection, table) == 2


@pytest.mark.parametrize(
    "option",
    ["TRUNCATECOLUMNS", "REGION 'us-east-1'", "MAXERROR 10", "COMPUPDATE OFF", "NOLOAD", "GZIP"],  # M, D, then U
)
async def test_row_12_options_that_parquet_does_not_take(
    connection: asyncpg.Connection, lake: Lake, table: str, option: str
) -> None:
    await connection.execute(f"CREATE TABLE {table} (a bigint)")
    error = await refused(connection, await lake.copy(table, await lake.file({"a": pa.array([1])}), options=option))
    assert error.sqlstate == "0A000"
    assert error.message == f"{option.split(maxsplit=1)[0]} argument is not supported for PARQUET based COPY"


async def test_row_13_super_needs_serializetojson(connection: asyncpg.Connection, lake: Lake, table: str) -> None:  # R
    await connection.execute(f"CREATE TABLE {table} (s super)")
    error = await refused(connection, await lake.copy(table, await lake.file({"a": pa.array(["{}"])})))
    assert error.message == "SUPER column in COPY query requires SERIALIZETOJSON option"
    assert "code:      8001" in error.detail


async def test_row_14_a_string_becomes_a_super_string_not_a_document(
    connection: asyncpg.Connection, lake: Lake, table: str
) -> None:  # R
    await connection.execute(f"CREATE TABLE {table} (s super)")
    copy = await lake.copy(table, await lake.file({"a": pa.array(['{"b": 1}'])}), options="SERIALIZETOJSON")
    await connection.execute(copy)
    found = await row(connection, f"SELECT JSON_TYPEOF(s), JSON_TYPEOF(JSON_PARSE(s)) FROM {table}")
    assert found == ("string", "object")


async def test_row_15_a_prefix_is_not_taken(connection: asyncpg.Connection, table: str) -> None:
    """Redshift reads every key below and fails on `_SUCCESS`; the stand-in takes manifests only."""
    await connection.execute(f"CREATE TABLE {table} (a bigint)")
    error = await refused(connection, f"COPY {table} FROM 's3://{BUCKET}/refined/' IAM_ROLE 'r' FORMAT PARQUET")
    assert error.message.startswith(OWN)


async def test_row_16_rollback_takes_a_copy_back(connection: asyncpg.Connection, lake: Lake, table: str) -> None:
    await connection.execute(f"CREATE TABLE {table} (a bigint)")
    await connection.execute("BEGIN")
    await connection.execute(await lake.copy(table, await lake.file({"a": pa.array([1])})))
    await connection.execute("ROLLBACK")
    assert await count(connection, table) == 0


async def test_row_17_truncate_commits_what_came_before_it(
    connection: asyncpg.Connection, lake: Lake, table: str
) -> None:  # D
    await connection.execute(f"CREATE TABLE {table} (a bigint); CREATE TABLE {table}_x (a int)")
    await connection.execute(f"INSERT INTO {table}_x VALUES (1)")
    await connection.execute("BEGIN")
    await connection.execute(await lake.copy(table, await lake.file({"a": pa.array([1])})))
    assert await connection.execute(f"TRUNCATE {table}_x") == "TRUNCATE TABLE"
    await connection.execute("ROLLBACK")
    assert (await count(connection, table), await count(connection, f"{table}_x")) == (1, 0)


async def test_row_18_after_an_error_the_transaction_is_aborted(connection: asyncpg.Connection) -> None:  # M
    await connection.execute("BEGIN")
    await refused(connection, "SELECT * FROM nowhere")
    found = await refused(connection, "SELECT 1")
    assert found.sqlstate == "25P02"
    assert found.message == "current transaction is aborted, commands ignored until end of transaction block"
    await connection.execute("ROLLBACK")


async def test_row_19_who_replaces_the_same_rows_second_gets_1023(
    connection: asyncpg.Connection, other: asyncpg.Connection, stack: Stack, table: str
) -> None:  # M
    await connection.execute(f"CREATE TABLE {table} (k int, v int)")
    await connection.execute(f"INSERT INTO {table} VALUES (1, 0)")
    replace = f"DELETE FROM {table} WHERE k = 1; INSERT INTO {table} VALUES (1, 1)"
    await connection.execute("BEGIN")
    await connection.execute(replace)
    await other.execute("BEGIN")
    second = asyncio.create_task(refused(other, replace))
    watcher = await stack.warehouse.connect(user="standin")
    await waits_for_a_lock(watcher, other)
    await watcher.close()
    await connection.execute("COMMIT")
    error = await second
    await other.execute("ROLLBACK")
    assert (error.sqlstate, error.message) == ("XX000", "1023")
    assert await row(connection, f"SELECT k, v FROM {table}") == (1, 1)


async def test_row_20_a_second_copy_into_one_table_waits(
    connection: asyncpg.Connection, other: asyncpg.Connection, stack: Stack, lake: Lake, table: str
) -> None:  # D
    await connection.execute(f"CREATE TABLE {table} (a bigint)")
    copy = await lake.copy(table, await lake.file({"a": pa.array([1])}))
    await connection.execute("BEGIN")
    await connection.execute(copy)
    second = asyncio.create_task(other.execute(copy))
    watcher = await stack.warehouse.connect(user="standin")
    await waits_for_a_lock(watcher, other)
    await watcher.close()
    assert not second.done()
    await connection.execute("COMMIT")
    assert await second == "COPY"
    assert await count(connection, table) == 2


async def test_row_21_a_primary_key_is_not_enforced_but_not_null_is(
    connection: asyncpg.Connection, table: str
) -> None:  # D
    await connection.execute(f"CREATE TABLE {table} (a int NOT NULL PRIMARY KEY, b int UNIQUE)")
    await connection.execute(f"INSERT INTO {table} VALUES (1, 2), (1, 2)")
    assert await count(connection, table) == 2
    assert (await refused(connection, f"INSERT INTO {table} VALUES (NULL, 2)")).sqlstate == "23502"


async def merge_tables(connection: asyncpg.Connection, table: str) -> tuple[str, str]:
    target, source = f"{table}_t", f"{table}_s"
    await connection.execute(f"CREATE TABLE {target} (k int, v int); CREATE TABLE {source} (k int, v int)")
    await connection.execute(f"INSERT INTO {target} VALUES (1, 0), (2, 0)")
    return target, source


BOTH = "WHEN MATCHED THEN UPDATE SET v = s.v WHEN NOT MATCHED THEN INSERT (k, v) VALUES (s.k, s.v)"


async def test_row_22_merge_refuses_two_matches_for_one_row(connection: asyncpg.Connection, table: str) -> None:  # D
    target, source = await merge_tables(connection, table)
    await connection.execute(f"INSERT INTO {source} VALUES (1, 5), (3, 5)")
    await connection.execute(f"MERGE INTO {target} USING {source} AS s ON {target}.k = s.k {BOTH}")
    assert [tuple(r) for r in await connection.fetch(f"SELECT * FROM {target} ORDER BY 1")] == [(1, 5), (2, 0), (3, 5)]
    await connection.execute(f"INSERT INTO {source} VALUES (1, 6)")
    error = await refused(connection, f"MERGE INTO {target} USING {source} AS s ON {target}.k = s.k {BOTH}")
    assert error.message == "Found multiple matches to update the same tuple."


async def test_row_23_merge_forms(connection: asyncpg.Connection, table: str) -> None:  # D; the refusals' texts U
    target, source = await merge_tables(connection, table)
    await connection.execute(f"INSERT INTO {source} VALUES (1, 5), (1, 5), (3, 5)")
    merge = f"MERGE INTO {target} USING {source} ON {target}.k = {source}.k REMOVE DUPLICATES"
    assert await connection.execute(merge) == "MERGE 2"
    assert [tuple(r) for r in await connection.fetch(f"SELECT * FROM {target} ORDER BY 1")] == [(1, 5), (2, 0), (3, 5)]
    found = await refused(connection, f"MERGE INTO {target} AS t USING {source} ON t.k = {source}.k {BOTH}")
    assert found.message == 'syntax error at or near "AS"'
    head = f"MERGE INTO {target} USING {source} AS s ON {target}.k = s.k"
    for refusal in (
        f"MERGE INTO {target} t USING {source} AS s ON t.k = s.k {BOTH}",
        f"{head} WHEN MATCHED THEN UPDATE SET v = s.v",
        f"{head} WHEN NOT MATCHED THEN INSERT VALUES (s.k, s.v)",
        f"MERGE INTO {target} USING (SELECT * FROM {source}) AS s ON {target}.k = s.k {BOTH}",
        f"MERGE INTO {target} USING {target} ON {target}.k = {target}.k {BOTH}",
    ):
        assert (await refused(connection, refusal)).sqlstate in {"42601", "0A000"}


@pytest.mark.parametrize(
    ("sql", "sqlstate", "message"),
    [
        ("CREATE INDEX my_idx ON test_table (data)", "0A000",
         'SQL command "CREATE INDEX my_idx ON test_table (data)" not supported on Redshift tables'),
        ("CREATE TABLE t (id SERIAL)", "0A000", 'Column "t.id" has unsupported type "serial".'),
        ("CREATE TABLE t (id int CHECK (id > 0))", "0A000",
         "ALTER/CREATE TABLE column CHECK constraint is not supported"),
        ("CREATE TABLE t (id int, CHECK (id > 0))", "0A000", "CREATE TABLE CHECK constraint is not supported"),
        ("CREATE TABLE t (id uuid)", "42704", 'type "uuid" does not exist'),
        ("CREATE TABLE t (id jsonb)", "42704", 'type "jsonb" does not exist'),
        ("SELECT 1::uuid", "42704", 'type "uuid" does not exist'),
        ("INSERT INTO pg_group VALUES (1) RETURNING 1", "42601", 'syntax error at or near "RETURNING"'),
        ("INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING", "42601", 'syntax error at or near "ON"'),
        ("UNLISTEN *", "0A000", 'SQL command "UNLISTEN *" not supported'),
        ("DISCARD ALL", "42601", 'syntax error at or near "DISCARD"'),
        ("COPY t FROM STDIN", "42601", 'syntax error at or near "STDIN"'),
        ("COPY (SELECT 1) TO STDOUT", "42601", 'syntax error at or near "("'),
        ("SELECT 1 FROM pg_enum", "42P01", 'relation "pg_enum" does not exist'),
        ("SHOW server_version_num", "42704", 'unrecognized configuration parameter "server_version_num"'),
        ("CREATE TYPE myenum AS ENUM ('a')", "42601",
         'syntax error at or near "ENUM" in context "TYPE myenum AS ENUM"'),
    ],
)  # fmt: skip
async def test_row_24_refused_with_redshifts_text(
    connection: asyncpg.Connection, sql: str, sqlstate: str, message: str
) -> None:  # R
    found = await refused(connection, sql)
    assert (found.sqlstate, found.message) == (sqlstate, message)


@pytest.mark.parametrize(
    "sql",
    [
        "SAVEPOINT s1", "ROLLBACK TO SAVEPOINT s1", "RELEASE SAVEPOINT s1", "LISTEN c", "NOTIFY c", "DO $$BEGIN END$$",
        "SELECT 1 FROM pg_class FOR UPDATE", "SELECT DISTINCT ON (relname) relname FROM pg_class",
        "SELECT count(*) FILTER (WHERE true) FROM pg_class", "SELECT * FROM pg_class, LATERAL (SELECT 1) AS x",
        "SELECT * FROM pg_class TABLESAMPLE SYSTEM (1)", "CREATE TABLE t (a int[])", "CREATE TABLE t (a bytea)",
        "SELECT ARRAY[1]", "SELECT 1 = ANY('{1}')", "SELECT pg_advisory_lock(1)", "SELECT pg_sleep(1)",
        "SELECT string_agg('a', 'b')", "SELECT '{}'::super -> 'a'", "SELECT * FROM (VALUES (1)) AS v",
        "SELECT 1 IS DISTINCT FROM 2", "WITH x AS MATERIALIZED (SELECT 1) SELECT * FROM x", "CREATE SEQUENCE s",
        "CREATE EXTENSION hstore", "CREATE FUNCTION f() RETURNS int AS 'SELECT 1' LANGUAGE sql", "CLUSTER", "REINDEX t",
        "CREATE UNIQUE INDEX i ON t (a)", "CREATE UNLOGGED TABLE t (a int)", "CREATE TABLE t (a int) INHERITS (u)",
        "CREATE TABLE t (a int GENERATED ALWAYS AS (1) STORED)", "CREATE TABLE t (a int) PARTITION BY RANGE (a)",
        "PREPARE p AS SELECT 1", "DECLARE c CURSOR FOR SELECT 1", "CALL p()", "EXPLAIN SELECT 1", "CHECKPOINT",
        "SELECT ctid FROM pg_class", "SELECT * FROM redshift.load_history", "SELECT set_config('a.b', 'c', false)",
        "SET standard_conforming_strings TO on", "SET default_transaction_isolation TO 'read committed'",
        "SET TRANSACTION ISOLATION LEVEL READ COMMITTED", "WITH x AS (DELETE FROM t) SELECT 1",
        "SELECT pg_catalog.pg_ls_dir('.')",
        'SELECT "pg_read_file"(\'x\')', "TABLE pg_class", "VALUES (1)", "SELECT U&'x'", "COMMIT AND CHAIN",
        "SELECT jsonb '{}'", "SELECT uuid'x'", "SELECT 'x' IS JSON", "CREATE TEMP TABLE t (a int) ON COMMIT DROP",
        "CREATE VIEW v WITH (security_barrier) AS SELECT 1",
        "LOCK TABLE t IN SHARE MODE",
    ],
)  # fmt: skip
@pytest.mark.parametrize("protocol", ["simple", "extended"])
async def test_row_24_refused_where_redshifts_text_is_unknown(
    connection: asyncpg.Connection, sql: str, protocol: str
) -> None:  # U
    with pytest.raises(asyncpg.PostgresError) as raised:
        await (connection.execute(sql) if protocol == "simple" else connection.fetch(sql))
    assert raised.value.sqlstate in {"0A000", "42601", "42883", "42P01", "42703", "42704", "3F000"}
    assert await connection.fetchval("SELECT 1") == 1


@pytest.mark.parametrize("protocol", ["simple", "extended"])
@pytest.mark.parametrize(
    ("call", "shown"),
    [
        ("generate_series(1, 3)", "generate_series(integer,integer)"),
        ("now()", "now()"),
        ("current_schema()", "current_schema()"),
    ],
)
async def test_row_25_a_function_of_the_leader_fails_on_a_users_table(
    connection: asyncpg.Connection, table: str, call: str, shown: str, protocol: str
) -> None:  # R
    await connection.execute(f"CREATE TABLE {table} (a int)")
    assert await connection.fetch(f"SELECT {call}")
    notices: list[tuple[str | None, str]] = []
    connection.add_log_listener(lambda _, message: notices.append((message.severity, message.message)))

    sql = f"SELECT {call} FROM {table}"
    found = await refused(
        connection, sql + (" WHERE a > $1" if protocol == "extended" else ""), *([1][: protocol == "extended"])
    )

    assert found.sqlstate == "0A000"
    assert found.message == "Specified types or functions (one per INFO message) not supported on Redshift tables."
    assert notices == [("INFO", f'Function "{shown}" not supported.')]


async def test_row_26_listagg_needs_a_users_table(connection: asyncpg.Connection, table: str) -> None:  # D
    found = await refused(connection, "SELECT LISTAGG('x')")
    assert found.message == "One or more of the used functions must be applied on at least one user created table."
    await connection.execute(
        f"CREATE TABLE {table} (a int, s varchar(5)); INSERT INTO {table} VALUES (1, 'x'), (2, 'y')"
    )
    sql = f"SELECT LISTAGG(s, '-') WITHIN GROUP (ORDER BY a DESC), LISTAGG(DISTINCT s) FROM {table}"
    assert await row(connection, sql) == ("y-x", "xy")


@pytest.mark.parametrize(
    "sql", ["VACUUM {t}", "VACUUM", "ALTER TABLE {t} APPEND FROM {t}", "ALTER TABLE {t} ALTER COLUMN s TYPE varchar(9)"]
)
async def test_row_27_what_must_stand_outside_of_a_transaction(
    connection: asyncpg.Connection, table: str, sql: str
) -> None:  # D
    await connection.execute(f"CREATE TABLE {table} (s varchar(5))")
    await connection.execute("BEGIN")
    found = await refused(connection, sql.format(t=table))
    await connection.execute("ROLLBACK")
    assert found.sqlstate == "25001"
    assert found.message.endswith("cannot run inside a transaction block")


async def test_row_27_vacuum_and_analyze_pass_outside_of_one(connection: asyncpg.Connection, table: str) -> None:
    await connection.execute(f"CREATE TABLE {table} (s varchar(5))")
    for sql in (
        f"VACUUM {table}",
        "VACUUM",
        f"VACUUM SORT ONLY {table} TO 99 PERCENT BOOST",
        f"ANALYZE {table} (s)",
        "ANALYZE",
    ):
        assert await connection.execute(sql) == sql.split()[0]
    assert (await refused(connection, "VACUUM nowhere")).sqlstate == "42P01"
    await connection.execute("BEGIN")
    assert await connection.execute(f"ANALYZE {table} PREDICATE COLUMNS") == "ANALYZE"
    await connection.execute("ROLLBACK")


async def test_row_28_asyncpg_without_a_codec_fails_on_super(stack: Stack) -> None:  # R
    connection = await asyncpg.connect(stack.dsn, statement_cache_size=0)
    with pytest.raises(asyncpg.PostgresSyntaxError, match='syntax error at or near "ORDER"'):
        await connection.fetch("SELECT JSON_PARSE('{}')")
    await connection.set_type_codec("super", schema="pg_catalog", encoder=str, decoder=str, format="text")
    statement = await connection.prepare("SELECT JSON_PARSE('{\"a\": [1, 2]}')")
    assert statement.get_attributes()[0].type.oid == 4000
    assert await statement.fetchval() == '{"a":[1,2]}'
    await connection.close()


async def test_row_29_numeric_in_binary_is_a_scaled_integer(stack: Stack) -> None:  # R
    connection = await asyncpg.connect(stack.dsn, statement_cache_size=0)
    assert await connection.fetchval("SELECT 123.45::decimal(9, 2)") != Decimal("123.45")  # read as PostgreSQL's
    with pytest.raises(BufferError):
        await connection.fetchval("SELECT 123.45::decimal(38, 2)")
    with pytest.raises(asyncpg.FeatureNotSupportedError, match="ask for text"):
        await connection.fetchval("SELECT 1.5::decimal(9, 2) + 1")
    await connection.set_type_codec(
        "numeric",
        schema="pg_catalog",
        encoder=lambda number: number.to_bytes(8, "big"),
        decoder=lambda raw: (len(raw), int.from_bytes(raw, "big", signed=True)),
        format="binary",
    )
    wanted = {
        "123.45::decimal(9, 2)": (8, 12345),
        "'-0.01'::decimal(18, 4)": (8, -100),
        "0::decimal(18, 4)": (8, 0),
        "70000.5::decimal(38, 1)": (16, 700005),
        "'-1234567890123'::decimal(20)": (16, -1234567890123),
    }
    for written, expected in wanted.items():
        assert await connection.fetchval(f"SELECT {written}") == expected
    await connection.reset_type_codec("numeric", schema="pg_catalog")
    await connection.set_type_codec("numeric", schema="pg_catalog", encoder=str, decoder=Decimal, format="text")
    assert await connection.fetchval("SELECT 123.45::decimal(9, 2)") == Decimal("123.45")
    assert await connection.fetchval("SELECT $1::decimal(9, 2)", Decimal("6.70")) == Decimal("6.70")
    await connection.close()


async def test_row_30_reset_all_clears_query_group_and_search_path(connection: asyncpg.Connection) -> None:
    await connection.execute("SET query_group TO 'loader'; SET search_path TO lake, public")
    assert await connection.fetchval("SHOW query_group") == "loader"
    assert await connection.fetchval("SELECT NVL(NULL, LEN('four'))") == 4  # whatever the search_path
    await connection.execute("RESET ALL")
    assert await connection.fetchval("SHOW search_path") == '"$user", public'
    assert await connection.fetchval("SHOW query_group") in {"", None}


async def test_row_31_two_transactions_that_read_and_then_write_one_table(
    connection: asyncpg.Connection, other: asyncpg.Connection, table: str
) -> None:  # D; the detail M
    await connection.execute(f"CREATE TABLE {table} (a int)")
    for each in (connection, other):
        await each.execute("BEGIN")
        assert await count(each, table) == 0
    await connection.execute(f"INSERT INTO {table} VALUES (1)")
    await connection.execute("COMMIT")

    error = await refused(other, f"INSERT INTO {table} VALUES (2); COMMIT")

    await other.execute("ROLLBACK")
    assert (error.sqlstate, error.message) == ("XX000", "1023")
    assert error.detail.startswith("Serializable isolation violation on xid - ")
    assert ",transactions forming the cycle are: " in error.detail
    assert await row(connection, f"SELECT a FROM {table}") == (1,)


async def test_row_31_a_lock_first_gives_readers_that_write_their_turns(
    connection: asyncpg.Connection, other: asyncpg.Connection, stack: Stack, table: str
) -> None:
    """The snapshot is taken at the first read, not at BEGIN and not at LOCK: who waited sees what the other wrote."""
    await connection.execute(f"CREATE TABLE {table} (a int)")
    await other.execute("BEGIN")
    await connection.execute("BEGIN")
    await connection.execute(f"LOCK TABLE {table}")
    waiting = asyncio.create_task(other.execute(f"LOCK TABLE {table}"))
    watcher = await stack.warehouse.connect(user="standin")
    await waits_for_a_lock(watcher, other)
    await watcher.close()
    assert await count(connection, table) == 0
    await connection.execute(f"INSERT INTO {table} VALUES (1)")
    await connection.execute("COMMIT")
    await waiting
    assert await count(other, table) == 1
    await other.execute(f"INSERT INTO {table} VALUES (2)")
    await other.execute("COMMIT")
    assert await count(connection, table) == 2
