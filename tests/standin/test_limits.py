"""Values, queries and statements that PostgreSQL takes and Redshift does not."""

import asyncpg
import pyarrow as pa
import pytest

from tests.standin.lake import Lake, count, refused, row

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="session")]

OWN = "[stand-in]"
PASSWORD = "Sesame-Street-1"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 'NaN'::numeric",
        "SELECT CAST(' nan ' AS decimal(5,2))",
        "SELECT 'NaN'::float8::numeric(9,1)",
        "INSERT INTO {t} (n) VALUES ('NaN')",
        "INSERT INTO {t} (n) SELECT f FROM {t}",
        "UPDATE {t} SET n = f",
        "ALTER TABLE {t} ADD COLUMN m decimal(5,1) DEFAULT 'NaN'",
    ],
)
async def test_a_numeric_is_never_not_a_number(connection: asyncpg.Connection, table: str, sql: str) -> None:  # M
    await connection.execute(f"CREATE TABLE {table} (n decimal(9,2), f float8); INSERT INTO {table} (f) VALUES ('NaN')")
    found = await refused(connection, sql.format(t=table))
    assert (found.sqlstate, found.message) == ("22P02", 'invalid input syntax for type numeric: "nan"')
    assert (await refused(connection, "SELECT 'Infinity'::numeric")).message.startswith(OWN)  # U
    assert await row(connection, "SELECT '1.239'::numeric(5,2)::varchar(9)") == ("1.24",)


@pytest.mark.parametrize(
    ("query", "outcome"),
    [
        ("SELECT a.id FROM {t} a FULL JOIN {t}_x b ON a.id = b.id", "taken"),
        ("SELECT a.id FROM {t} a RIGHT OUTER JOIN {t}_x b ON a.id = b.id OR b.id = 5", "taken"),
        ("SELECT JSON_SERIALIZE(a.rest) FROM {t} a LEFT JOIN {t}_x b ON a.id = b.id", "taken"),
        ("SELECT a.rest FROM {t} a RIGHT JOIN {t}_x b ON a.id = b.id", "refused"),
        ("SELECT a.rest.b FROM {t} a FULL OUTER JOIN {t}_x b ON a.id = b.id", "refused"),
        ("SELECT * FROM {t} a FULL JOIN {t}_x b ON a.id = b.id", "refused"),
        ("SELECT a.* FROM {t} a FULL JOIN {t}_x b ON a.id = b.id", "refused"),
        ("SELECT COUNT(*) FROM {t} a FULL JOIN {t}_x b ON a.id = b.id AND a.rest.b::int = 1", "refused"),
        ("SELECT s.r FROM (SELECT id, rest AS r FROM {t}) s RIGHT JOIN {t}_x b ON s.id = b.id", "refused"),
        ("WITH s AS (SELECT id, rest AS r FROM {t}) SELECT s.r FROM s RIGHT JOIN {t}_x b ON s.id = b.id", "refused"),
        ("SELECT b.id FROM (SELECT 1 AS id, JSON_PARSE('1') AS r) s RIGHT JOIN {t}_x b ON s.id = b.id", "refused"),
        ("SELECT v.rest FROM {t}_v v RIGHT JOIN {t}_x b ON v.id = b.id", "refused"),
        ("SELECT id FROM {t} a FULL JOIN {t}_x b USING (id)", "refused"),
        ("SELECT a.id FROM {t} a NATURAL FULL JOIN {t}_x b", "refused"),
    ],
)
async def test_super_does_not_go_into_a_right_or_full_join(
    connection: asyncpg.Connection, table: str, query: str, outcome: str
) -> None:  # D; the text U
    await connection.execute(
        f"CREATE TABLE {table} (id int, rest super); CREATE TABLE {table}_x (id int); "
        f"CREATE VIEW {table}_v AS SELECT id, rest FROM {table}; INSERT INTO {table}_x VALUES (1), (5)"
    )
    await connection.execute(f"INSERT INTO {table} SELECT 1, JSON_PARSE('1'); INSERT INTO {table} SELECT 2, NULL")
    query = query.format(t=table)
    if outcome == "taken":
        assert (await connection.execute(query)).startswith("SELECT")
        return
    found = await refused(connection, query)
    assert (found.sqlstate, found.message[: len(OWN)]) == ("0A000", OWN)


async def test_rows_of_a_full_join_are_all_there(connection: asyncpg.Connection, table: str) -> None:
    await connection.execute(f"CREATE TABLE {table} (a int); INSERT INTO {table} VALUES (1), (2)")
    other = "(SELECT 2 AS a UNION ALL SELECT 3)"
    sql = f"SELECT COUNT(*), COUNT(x.a), COUNT(y.a) FROM {table} x FULL JOIN {other} y ON x.a = y.a"
    assert await row(connection, sql) == (3, 2, 2)


@pytest.mark.parametrize(
    "sql",
    [
        "WITH x AS (WITH y AS (SELECT 1 AS c) SELECT c FROM y) SELECT c FROM x",
        "WITH w AS (SELECT 1 AS c), x (d) AS (SELECT * FROM (WITH y AS (SELECT 1) SELECT * FROM y) z) SELECT d FROM x",
        "SELECT * FROM (WITH x AS (WITH y AS (SELECT 1 AS c) SELECT c FROM y) SELECT c FROM x) z",
        "CREATE TEMP TABLE q AS WITH x AS (WITH y AS (SELECT 1 AS c) SELECT c FROM y) SELECT c FROM x",
    ],
)
async def test_a_with_has_no_with_inside(connection: asyncpg.Connection, sql: str) -> None:  # D; the number U
    assert (await refused(connection, sql)).message == (
        "can't specify another WITH clause inside a WITH clause subquery"
    )


async def test_the_like_of_it_works(connection: asyncpg.Connection) -> None:
    sql = (
        "SELECT c, t FROM (WITH x AS (SELECT 1 AS c, '2026-01-01'::timestamp with time zone AS t) SELECT c, t FROM x) z"
    )
    assert (await row(connection, sql))[0] == 1
    sql = "WITH x AS (SELECT 1 AS c, NULL::timestamp with time zone AS t), y AS (SELECT 2 AS d) SELECT c, d FROM x, y"
    assert await row(connection, sql) == (1, 2)


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"[{":', "}")])
async def test_a_super_has_a_thousand_levels(
    connection: asyncpg.Connection, table: str, opening: str, closing: str
) -> None:  # D; the text U
    await connection.execute(f"CREATE TABLE {table} (s super)")
    deepest = opening * 1000 + "1" + closing * 1000
    await connection.execute(f"INSERT INTO {table} SELECT JSON_PARSE('{deepest}')")
    for levels in (1001, 1200):
        document = opening * levels + "1" + closing * levels
        found = await refused(connection, f"INSERT INTO {table} SELECT JSON_PARSE('{document}')")
        assert found.message.startswith(f"{OWN} A SUPER has at most 1000 levels")
    wide = "[" + ",".join(['{"a": ["]"]}'] * 1500) + "]"
    await connection.execute(f"INSERT INTO {table} SELECT JSON_PARSE('{wide}')")
    assert await count(connection, table) == 2


async def test_strings_that_copy_left_have_no_more_levels(
    connection: asyncpg.Connection, lake: Lake, table: str
) -> None:  # D; the text U
    await connection.execute(f"CREATE TABLE {table} (s super)")
    file = await lake.file({"s": pa.array(["[" * 1001 + "]" * 1001])})
    await connection.execute(await lake.copy(table, file, options="SERIALIZETOJSON"))
    found = await refused(connection, f"SELECT JSON_TYPEOF(JSON_PARSE(s)) FROM {table}")
    assert found.message.startswith(f"{OWN} A SUPER has at most 1000 levels")


@pytest.mark.parametrize("document", ["{", "", "{'a': 1}", "1 2", '"\\\\u0000"'])
async def test_what_is_no_json_is_refused_in_no_words_of_postgresql(
    connection: asyncpg.Connection, document: str
) -> None:  # U
    quoted = document.replace("'", "''")
    assert (await refused(connection, f"SELECT JSON_TYPEOF(JSON_PARSE('{quoted}'))")).message.startswith(OWN)


async def test_a_null_for_a_not_null_column_has_one_text(
    connection: asyncpg.Connection, lake: Lake, table: str
) -> None:
    """The text is R. Of the number there are two reports, 23502 and XX000: it is PostgreSQL's here, COPY's is XX000."""
    await connection.execute(f"CREATE TABLE {table} (a int NOT NULL, b int); CREATE TABLE {table}_s (a int, b int)")
    await connection.execute(f"INSERT INTO {table} VALUES (1, 1); INSERT INTO {table}_s VALUES (NULL, 1)")
    file = await lake.file({"a": pa.array([None], pa.int32()), "b": pa.array([1], pa.int32())})
    merge = (
        f"MERGE INTO {table} USING {table}_s s ON {table}.b = s.b WHEN MATCHED THEN UPDATE SET a = s.a "
        "WHEN NOT MATCHED THEN INSERT VALUES (s.a, s.b)"
    )
    for sql, sqlstate in (
        (f"INSERT INTO {table} VALUES (NULL, 2)", "23502"),
        (f"INSERT INTO {table} (b) VALUES (2)", "23502"),
        (f"INSERT INTO {table} SELECT a, b FROM {table}_s", "23502"),
        (f"UPDATE {table} SET a = NULL", "23502"),
        (merge, "23502"),
        (await lake.copy(table, file), "XX000"),
    ):
        found = await refused(connection, sql)
        assert (found.sqlstate, found.message) == (sqlstate, "Cannot insert a NULL value into column a")
        assert "Failing row" not in (found.detail or "")
    assert await count(connection, table) == 1


async def test_delete_has_no_other_name_for_its_table(connection: asyncpg.Connection, table: str) -> None:  # D
    await connection.execute(f"CREATE TABLE {table} (a int)")
    for alias, near in (("d", "d"), ("AS d", "AS")):
        found = await refused(connection, f"DELETE FROM {table} {alias} WHERE d.a = 1")
        assert (found.sqlstate, found.message) == ("42601", f'syntax error at or near "{near}"')
    assert await connection.execute(f"DELETE FROM public.{table} USING {table} b WHERE b.a = {table}.a") == "DELETE 0"


@pytest.mark.parametrize("sql", ["GRANT {t}_r TO {t}_u", "REVOKE {t}_r FROM {t}_u"])
async def test_a_role_is_granted_by_the_word_role(connection: asyncpg.Connection, table: str, sql: str) -> None:  # D
    await connection.execute(f"CREATE ROLE {table}_r; CREATE USER {table}_u PASSWORD '{PASSWORD}'")
    assert (await refused(connection, sql.format(t=table))).message.startswith(OWN)
    await connection.execute(f"GRANT ROLE {table}_r TO {table}_u; REVOKE ROLE {table}_r FROM {table}_u")


@pytest.mark.parametrize(
    "password",
    ["Short-1", "no-upper-case-1", "NO-LOWER-CASE-1", "No-digit-here", "Has a blank 1", "Slash/Slash/1", "At@At@At1",
     "Back\\\\slash1", 'Quote"Quote1', "Long-1" + "x" * 60, "Ünicode-12345", "sha256|Mypassword1", "md5abc"],
)  # fmt: skip
async def test_a_password_keeps_the_rules(connection: asyncpg.Connection, table: str, password: str) -> None:  # D
    found = await refused(connection, f"CREATE USER {table}_u PASSWORD '{password}'")
    assert found.message.startswith(OWN)
    assert password not in found.message
    await connection.execute(f"CREATE USER {table}_u PASSWORD '{PASSWORD}'")
    assert (await refused(connection, f"ALTER USER {table}_u PASSWORD '{password}'")).message.startswith(OWN)
    await connection.execute(f"ALTER USER {table}_u PASSWORD 'md5{'0f' * 16}'")
