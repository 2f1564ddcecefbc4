"""Which vendor error becomes which of our kinds."""

import socket
from collections.abc import Callable
from contextlib import AbstractContextManager

import aiohttp
import asyncpg
import pytest
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
    ReadTimeoutError,
)

from service.aws.faults import aws_faults, warehouse_faults
from service.core.errors import (
    AbsentError,
    AcequiaError,
    ContendedError,
    DefinitionError,
    RejectedError,
    SetupError,
    TransientError,
)

VALUE = "ES9121000418450200051332"
"""What a bank would not like to read in a log."""

Fault = Callable[[], BaseException]


def _client_error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": f"about {VALUE}"}}, "SendMessageBatch")


def _postgres_error(sqlstate: str, message: str, detail: str = "") -> asyncpg.PostgresError:
    fields = {"S": "ERROR", "C": sqlstate, "M": message}
    return asyncpg.PostgresError.new(fields | {"D": detail} if detail else fields)


def _raised(around: AbstractContextManager[None], wrong: BaseException) -> AcequiaError:
    with pytest.raises(AcequiaError) as raised, around:
        raise wrong
    if raised.value is not wrong:
        assert raised.value.__cause__ is wrong
    return raised.value


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("AWS.SimpleQueueService.NonExistentQueue", AbsentError),
        ("QueueDoesNotExist", AbsentError),
        ("NoSuchBucket", AbsentError),
        ("AccessDenied", SetupError),
        ("AccessDeniedException", SetupError),
        ("403", SetupError),
        ("InvalidAccessKeyId", SetupError),
        ("SignatureDoesNotMatch", SetupError),
        ("UnrecognizedClientException", SetupError),
        ("InvalidClientTokenId", SetupError),
        ("PermanentRedirect", SetupError),
        ("KMS.AccessDeniedException", SetupError),
        ("KmsAccessDenied", SetupError),
        ("KMS.DisabledException", SetupError),
        ("KmsDisabled", SetupError),
        ("NoSuchKey", RejectedError),
        ("404", RejectedError),
        ("ConditionalRequestConflict", TransientError),
        ("SlowDown", TransientError),
        ("ServiceUnavailable", TransientError),
        ("InternalError", TransientError),
        ("RequestThrottled", TransientError),
        ("ThrottlingException", TransientError),
        ("OverLimit", TransientError),
        ("KMS.ThrottlingException", TransientError),
        ("KmsThrottled", TransientError),
        ("ExpiredToken", TransientError),
        ("RequestTimeTooSkewed", TransientError),
        ("a code of the future", TransientError),
        ("", TransientError),
    ],
)
def test_an_answer_of_aws_is_judged_by_its_code_alone(code: str, kind: type[AcequiaError]) -> None:
    found = _raised(aws_faults("sqs", "send to records"), _client_error(code))
    assert type(found) is kind
    assert VALUE not in str(found)
    if not isinstance(found, RejectedError):
        assert "sqs" in str(found)
        assert "send to records" in str(found)


def test_an_answer_without_a_code_may_pass_the_next_time() -> None:
    found = _raised(aws_faults("sqs", "send to records"), ClientError({}, "SendMessageBatch"))
    assert type(found) is TransientError


def test_an_object_that_is_not_there_is_the_items_fault() -> None:
    found = _raised(aws_faults("s3", "read an object in lake"), _client_error("NoSuchKey"))
    assert isinstance(found, RejectedError)
    assert found.code == "missing_object"


@pytest.mark.parametrize(
    "wrong",
    [
        NoCredentialsError,
        lambda: PartialCredentialsError(provider="env", cred_var="aws_secret_access_key"),
    ],
    ids=["none", "half"],
)
def test_credentials_that_nobody_gave_are_an_operators_matter(wrong: Fault) -> None:
    found = _raised(aws_faults("s3", "store an object in lake"), wrong())
    assert type(found) is SetupError
    assert "give the task a role" in str(found)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: CredentialRetrievalError(provider="container-role", error_msg=VALUE),
        lambda: EndpointConnectionError(endpoint_url="https://sqs", error=VALUE),
        lambda: ConnectTimeoutError(endpoint_url="https://sqs", error=VALUE),
        lambda: ReadTimeoutError(endpoint_url="https://sqs", error=VALUE),
        lambda: HTTPClientError(request=None, response=None, error=VALUE),
        lambda: aiohttp.ClientPayloadError(VALUE),
        lambda: aiohttp.ServerDisconnectedError(VALUE),
        TimeoutError,
        lambda: ConnectionResetError(VALUE),
        lambda: socket.gaierror(VALUE),
    ],
)
def test_aws_out_of_reach_may_pass_the_next_time(wrong: Fault) -> None:
    error = wrong()
    found = _raised(aws_faults("sqs", "receive from records"), error)
    assert isinstance(found, TransientError)
    assert found.dependency == "sqs"
    assert str(found) == f"sqs: could not receive from records ({type(error).__name__})"


@pytest.mark.parametrize(
    ("sqlstate", "kind"),
    [
        ("08006", TransientError),
        ("08P01", TransientError),
        ("40001", ContendedError),
        ("40P01", ContendedError),
        ("53300", TransientError),
        ("53100", TransientError),
        ("55006", TransientError),
        ("55P03", ContendedError),
        ("57014", TransientError),
        ("57P01", TransientError),
        ("57P03", TransientError),
        ("58030", TransientError),
        ("28000", SetupError),
        ("28P01", SetupError),
        ("3D000", SetupError),
        ("3F000", SetupError),
        ("42501", SetupError),
        ("42601", SetupError),
        ("42703", SetupError),
        ("42P01", SetupError),
        ("0A000", SetupError),
        ("22001", RejectedError),
        ("22003", RejectedError),
        ("22P02", RejectedError),
        ("23502", RejectedError),
        ("XX000", SetupError),
    ],
)
def test_an_answer_of_the_warehouse_is_judged_by_its_sqlstate(sqlstate: str, kind: type[AcequiaError]) -> None:
    found = _raised(warehouse_faults("copy"), _postgres_error(sqlstate, "Spectrum Scan Error"))
    assert type(found) is kind
    assert sqlstate in str(found)
    if isinstance(found, RejectedError):
        assert found.code == "load_refused"
    else:
        assert "copy" in str(found)


ISOLATION_DETAIL = "Serializable isolation violation on xid - 5,transactions forming the cycle are: 5, 6 (pid:7)"


@pytest.mark.parametrize("detail", ["", ISOLATION_DETAIL], ids=["bare", "as measured on Redshift"])
def test_a_serializable_isolation_violation_may_pass_the_next_time(detail: str) -> None:
    found = _raised(warehouse_faults("fresh_insert"), _postgres_error("XX000", "1023", detail))
    assert isinstance(found, ContendedError)
    assert found.dependency == "warehouse"


@pytest.mark.parametrize(
    ("message", "detail", "file"),
    [
        (
            "The length of the data column x is longer than the length defined in the table. File name: https://s3.eu-west-1.amazonaws.com/lake/events/dt%3D2026-01-01/Aa.parquet",
            "",
            "https://s3.eu-west-1.amazonaws.com/lake/events/dt%3D2026-01-01/Aa.parquet",
        ),
        (
            "Spectrum Scan Error",
            "context: File 'https://s3.eu-west-1.amazonaws.com/k.parquet' has an incompatible Parquet schema for x",
            "https://s3.eu-west-1.amazonaws.com/k.parquet",
        ),
        ("Cannot insert a NULL value into column id", "", None),
    ],
)
def test_the_file_that_a_refusal_names_is_told(message: str, detail: str, file: str | None) -> None:
    found = _raised(warehouse_faults("copy"), _postgres_error("XX000", message, detail))
    assert isinstance(found, RejectedError)
    assert found.file == file


def test_a_number_in_another_message_is_no_isolation_violation() -> None:
    found = _raised(warehouse_faults("copy"), _postgres_error("XX000", "row 1023 of the file"))
    assert type(found) is SetupError


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("Disk Full", TransientError),
        ("Cannot execute write query because system is in resize mode", TransientError),
        ("S3ServiceException: Access Denied, Status 403", SetupError),
        ("Spectrum Scan Error", SetupError),
        ("The length of the data column x is longer than the length defined in the table.", RejectedError),
        ("Cannot insert a NULL value into column id", RejectedError),
        ("Assert", SetupError),
        ("S3ServiceException:Please reduce your request rate.,Status 503,Error SlowDown", TransientError),
        ("SUPER column in COPY query requires SERIALIZETOJSON option", SetupError),
        ("Spectrum Scan Error https://s3.eu-west-1.amazonaws.com/lake-json/x.parquet", SetupError),
        ("Invalid JSON in the column", RejectedError),
        ("x is not a Parquet file", RejectedError),
    ],
)
def test_what_redshift_calls_internal_is_told_apart_by_its_words_and_the_unknown_waits(
    message: str, kind: type[Exception]
) -> None:
    assert type(_raised(warehouse_faults("copy"), _postgres_error("XX000", message))) is kind


def test_a_missing_grant_says_which_rights_to_grant_and_redshifts_number_is_told() -> None:
    found = _raised(
        warehouse_faults("copy"), _postgres_error("42501", "permission denied for relation x", "code:  8001")
    )
    assert str(found) == (
        "warehouse: cannot copy: permission denied for relation x (code 8001) - grant the loader's user SELECT, INSERT "
        "and DELETE on it, and USAGE on its schema (SQLSTATE 42501)"
    )


@pytest.mark.parametrize("sqlstate", ["22001", "22003", "22P02", "23502", "23505"])
def test_data_that_is_refused_is_never_quoted(sqlstate: str) -> None:
    message = f'invalid input syntax for type integer: "{VALUE}"'
    found = _raised(warehouse_faults("fresh_insert"), _postgres_error(sqlstate, message, f"Key ({VALUE}) is there"))
    assert VALUE not in str(found)


def test_what_stands_in_quotes_in_a_refusal_of_data_is_left_out() -> None:
    message = f"Invalid JSON near '{VALUE}' or \"{VALUE}\" in the column"
    found = _raised(warehouse_faults("fresh_insert"), _postgres_error("XX000", message))
    assert str(found) == "the warehouse refused the data: Invalid JSON near … or … in the column (XX000)"


@pytest.mark.parametrize("sqlstate", ["XX000", "42601"])
def test_a_detail_is_never_quoted_and_a_sentence_is_one_line(sqlstate: str) -> None:
    detail = f"\n  error:  Spectrum Scan Error\n  context:   Invalid value {VALUE}\n"
    found = _raised(warehouse_faults("copy"), _postgres_error(sqlstate, "Spectrum Scan Error", detail))
    assert VALUE not in str(found)
    assert "\n" not in str(found)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: asyncpg.InterfaceError("connection is closed"),
        lambda: asyncpg.InternalClientError("got result for unknown protocol state 3"),
        lambda: asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
        TimeoutError,
        ConnectionRefusedError,
        socket.gaierror,
    ],
)
def test_a_warehouse_out_of_reach_may_pass_the_next_time(wrong: Fault) -> None:
    found = _raised(warehouse_faults("connect"), wrong())
    assert isinstance(found, TransientError)
    assert str(found).startswith("warehouse: could not connect (")


@pytest.mark.parametrize("around", [lambda: aws_faults("s3", "read"), lambda: warehouse_faults("copy")])
@pytest.mark.parametrize(
    "ours",
    [TransientError("memory", "full"), SetupError("mend it"), RejectedError("bad_file", "no"), DefinitionError("no")],
)
def test_our_own_kinds_pass_as_they_are(around: Callable[[], AbstractContextManager[None]], ours: AcequiaError) -> None:
    assert _raised(around(), ours) is ours


@pytest.mark.parametrize("around", [lambda: aws_faults("s3", "read"), lambda: warehouse_faults("copy")])
@pytest.mark.parametrize("bug", [KeyError("x"), AssertionError(), ValueError("x")])
def test_what_is_a_bug_stays_a_bug(around: Callable[[], AbstractContextManager[None]], bug: Exception) -> None:
    with pytest.raises(type(bug)) as raised, around():
        raise bug
    assert raised.value is bug
