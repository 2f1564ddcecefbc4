"""Rewriting SQL for PostgreSQL: what Redshift accepts beyond it goes, everything else stays as it was written."""

import re

import pytest

from service.local.redshift.refusals import RefusedError
from service.local.redshift.rewriting import rewritten
from service.local.redshift.statements import statements


def without_note(text: str) -> str:
    return text.split(" /*storage: ", maxsplit=1)[0]


def after(sql: str) -> str:
    """The only statement rewritten, without its note on storage, with runs of blanks as one."""
    (statement,) = statements(sql)
    return re.sub(r"\s+", " ", without_note(rewritten(statement))).replace(" )", ")").replace(" ,", ",").strip()


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("CREATE TABLE t (a int ENCODE az64, b date encode raw NOT NULL)", "CREATE TABLE t (a int, b date NOT NULL)"),
        ("CREATE TABLE t (a int DISTKEY SORTKEY, b int)", "CREATE TABLE t (a int, b int)"),
        ("create table s.t (a int) diststyle key distkey(a)", "create table s.t (a int)"),
        ("CREATE TABLE t (a int, b int) DISTSTYLE EVEN COMPOUND SORTKEY (a, b)", "CREATE TABLE t (a int, b int)"),
        ("CREATE TABLE t (a int) INTERLEAVED SORTKEY (a) BACKUP NO", "CREATE TABLE t (a int)"),
        ("CREATE TABLE t (a int) SORTKEY AUTO ENCODE AUTO BACKUP YES", "CREATE TABLE t (a int)"),
        ("CREATE TABLE t (a int PRIMARY KEY, b int UNIQUE)", "CREATE TABLE t (a int, b int)"),
        ("CREATE TABLE t (a int NOT NULL REFERENCES s.u (b))", "CREATE TABLE t (a int NOT NULL)"),
        ("CREATE TABLE t (a int, b int, PRIMARY KEY (a, b), UNIQUE (a))", "CREATE TABLE t (a int, b int)"),
        ("CREATE TABLE t (PRIMARY KEY (a), a int, UNIQUE (a))", "CREATE TABLE t ( a int)"),
        ("CREATE TABLE t (a int, CONSTRAINT k FOREIGN KEY (a) REFERENCES u (b))", "CREATE TABLE t (a int)"),
        ("CREATE TABLE t (a int CONSTRAINT k PRIMARY KEY)", "CREATE TABLE t (a int)"),
        ("CREATE TEMP TABLE IF NOT EXISTS t (LIKE u)", "CREATE TEMP TABLE IF NOT EXISTS t (LIKE u)"),
        ("CREATE TABLE t DISTKEY(a) SORTKEY(b) AS SELECT a, b FROM u", "CREATE TABLE t AS SELECT a, b FROM u"),
        ("CREATE TABLE t (a varchar(MAX), b CHARACTER VARYING ( max ))",
         "CREATE TABLE t (a varchar(65535), b varchar(65535))"),
        ("ALTER TABLE t ADD COLUMN a varchar(max) ENCODE zstd", "ALTER TABLE t ADD COLUMN a varchar(65535)"),
        ("SET query_group TO 'acequia'", "SET redshift.query_group TO 'acequia'"),
        ("SELECT sysdate, JSON_SERIALIZE(a)", "SELECT redshift.sysdate(), redshift.json_serialize(a)"),
    ],
)  # fmt: skip
def test_what_postgres_lacks_or_would_enforce_is_taken_out(written: str, expected: str) -> None:
    assert after(written) == expected


@pytest.mark.parametrize(
    "sql",
    [
        'CREATE TABLE t ("distkey" int, "primary key" int)',
        "CREATE TABLE t (encode int, a varchar(9) DEFAULT 'SORTKEY, UNIQUE')",
        "SELECT max(a) FROM t -- create table (PRIMARY KEY)",
        "SELECT 'it''s varchar(max) \\' sysdate; copy' AS create_it, t.sysdate FROM t",
        "CREATE VIEW v AS SELECT 1 AS sortkey",
    ],
)
def test_the_same_words_elsewhere_stay(sql: str) -> None:
    for statement in statements(sql):
        assert without_note(rewritten(statement)) == sql.split(" --", maxsplit=1)[0]


def test_positions_after_what_was_taken_out_stay_true() -> None:
    sql = "CREATE TABLE t (a int ENCODE raw, b date nonsense)"
    (statement,) = statements(sql)
    assert rewritten(statement).index("nonsense") == sql.index("nonsense")


def test_statements_end_at_semicolons_outside_of_quotes() -> None:
    found = statements("copy a; ;select ';' , \";\" /* ; */; call p('a;b')\n;")
    texts = [statement.text(0, len(statement)) for statement in found]
    assert texts == ["copy a", "select ';' , \";\"", "call p('a;b')"]


@pytest.mark.parametrize("sql", ["CREATE TABLE t (a int DEFAULT '", "SELECT 1 /* ", "SELECT $$;$$", "SELECT U&'x'"])
def test_what_cannot_be_read_for_certain_is_refused(sql: str) -> None:
    with pytest.raises(RefusedError):
        statements(sql)


def test_adding_a_key_later_is_refused_not_enforced() -> None:
    (statement,) = statements("ALTER TABLE t ADD CONSTRAINT k PRIMARY KEY (a)")
    with pytest.raises(RefusedError):
        rewritten(statement)
