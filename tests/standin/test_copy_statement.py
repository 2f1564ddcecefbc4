"""Reading COPY: options in any order, and Redshift's refusals."""

import itertools

import pytest

from service.local.redshift.copy_statement import CopyStatement, read_copy
from service.local.redshift.refusals import RefusedError
from service.local.redshift.statements import statements

HEAD = "COPY t FROM 's3://b/k.manifest' IAM_ROLE 'arn' "
GOOD = HEAD + "FORMAT AS PARQUET MANIFEST "


def read(sql: str) -> CopyStatement:
    (statement,) = statements(sql)
    return read_copy(statement)


def refusal(sql: str) -> tuple[str, str]:
    with pytest.raises(RefusedError) as raised:
        read(sql)
    return raised.value.sqlstate, raised.value.message


def test_options_are_read_in_any_order() -> None:
    options = ("IAM_ROLE 'arn'", "FORMAT AS PARQUET", "MANIFEST", "SERIALIZETOJSON", "STATUPDATE OFF", "FILLRECORD")
    for order in itertools.permutations(options):
        assert read(f"COPY t FROM 's3://b/k' {' '.join(order)}") == CopyStatement(
            table="t", columns=(), manifest="s3://b/k", iam_role="arn", serialize_to_json=True, fill_record=True
        )


@pytest.mark.parametrize("form", ["PARQUET", "AS PARQUET", "FORMAT PARQUET", "format as parquet"])
def test_every_way_to_say_parquet(form: str) -> None:
    assert read(f"{HEAD} {form} MANIFEST").manifest == "s3://b/k.manifest"


@pytest.mark.parametrize(
    ("credentials", "iam_role"),
    [("IAM_ROLE default", "default"), ("IAM_ROLE 'SESSION'", "SESSION"), ("CREDENTIALS 'aws_iam_role=arn'", "arn"),
     ("CREDENTIALS 'x'", ""), ("ACCESS_KEY_ID 'a' SECRET_ACCESS_KEY 'b'", "")],
)  # fmt: skip
def test_every_way_to_give_credentials(credentials: str, iam_role: str) -> None:
    assert read(f"COPY t FROM 's3://b/k' {credentials} PARQUET MANIFEST").iam_role == iam_role


def test_names_keep_their_quotes_and_quoted_ones_lose_their_capitals() -> None:
    found = read(GOOD.replace("COPY t", 'copy "My".t (A, "b c", format)'))
    assert (found.table, found.columns, found.shown_table) == ('"my".t', ("A", '"b c"', "format"), "t")


def test_a_literal_is_unescaped() -> None:
    assert read(GOOD.replace("k.manifest", "it''s\\\\")).manifest == "s3://b/it's\\"


@pytest.mark.parametrize(
    "option",
    ["MAXERROR 0", "MAXERROR AS 10", "REGION 'us-east-1'", "TRUNCATECOLUMNS", "COMPUPDATE OFF", "NOLOAD", "GZIP",
     "NULL AS '\\\\N'", "DELIMITER ','", "DATEFORMAT 'auto'", "ACCEPTANYDATE", "ENCRYPTED"],
)  # fmt: skip
def test_options_of_text_formats_are_refused(option: str) -> None:
    text = f"{option.split(maxsplit=1)[0]} argument is not supported for PARQUET based COPY"
    assert refusal(GOOD + option) == ("0A000", text)
    assert refusal(GOOD + option + " STATUPDATE OFF") == ("0A000", text)


@pytest.mark.parametrize(
    "sql",
    [HEAD + "FORMAT AS PARQUET", HEAD + "MANIFEST", HEAD + "CSV MANIFEST", HEAD + "FORMAT AS JSON 'auto' MANIFEST",
     GOOD + "EXPLICIT_IDS", GOOD.replace("s3://b/k.manifest", "emr://x/y"), GOOD.replace("IAM_ROLE 'arn'", "")],
)  # fmt: skip
def test_what_only_the_standin_lacks_says_so(sql: str) -> None:
    sqlstate, message = refusal(sql)
    assert sqlstate == "0A000"
    assert message.startswith("[stand-in]")


@pytest.mark.parametrize(
    ("sql", "near"),
    [
        ("COPY t FROM STDIN", "STDIN"),
        ("COPY t TO STDOUT", "TO"),
        ("COPY (SELECT 1) TO STDOUT", "("),
        (GOOD + "NONSENSE", "NONSENSE"),
        (GOOD + "'secret'", "'…'"),
        (GOOD + "FORMAT AS", "end of input"),
        ("COPY t FROM", "end of input"),
        ("COPY t (a, ) FROM 's3://b/k'", ")"),
        ("COPY t FROM 's3://b/k' IAM_ROLE PARQUET", "PARQUET"),
    ],
)
def test_what_is_no_copy_of_redshift_is_a_syntax_error(sql: str, near: str) -> None:
    assert refusal(sql) == ("42601", f'syntax error at or near "{near}"')
