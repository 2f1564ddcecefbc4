"""Which vendor error is which of ours: one table for SQS and S3, one for Redshift. Nothing else looks at theirs.

Codes are compared in both spellings that SQS uses (its JSON protocol is query-compatible).
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
import asyncpg
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    InvalidConfigError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
)

from service.core.errors import (
    AbsentError,
    AcequiaError,
    ContendedError,
    RejectedError,
    SetupError,
    TransientError,
    without_quoted,
)

MISSING_QUEUE = {"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"}
MISSING_OBJECT = {"NoSuchKey", "404"}
MISSING_BUCKET = {"NoSuchBucket"}
FORBIDDEN = {
    "AccessDenied",
    "AccessDeniedException",
    "403",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
    "InvalidClientTokenId",
    "PermanentRedirect",
    "KMS.AccessDeniedException",
    "KmsAccessDenied",
    "KMS.DisabledException",
    "KmsDisabled",
}


REFUSED = {
    "InvalidMessageContents",
    "MissingParameter",
    "InvalidParameterValue",
    "AWS.SimpleQueueService.BatchRequestTooLong",
    "BatchRequestTooLong",
    "AWS.SimpleQueueService.InvalidBatchEntryId",
}
"""What no second try will change. None of ours should ever be; if one is, the layer waits for an operator."""
MISSING_LOGIN = {"ResourceNotFoundException", "ClusterNotFound", "ClusterNotFoundFault"}
REFUSED_LOGIN = {
    "DecryptionFailure",
    "InvalidParameterException",
    "InvalidRequestException",
    "UnsupportedOperation",
    "UnsupportedOperationFault",
    "ValidationException",
}
"""Answers to the calls of `credentials/`: the secret, cluster or workgroup that a setting names is not usable."""


@contextmanager
def aws_faults(dependency: str, action: str) -> Iterator[None]:
    """Around one call: whatever it raises comes out as one of our kinds. `action` is a verb and a name, no value."""
    try:
        yield
    except AcequiaError:
        raise
    except (NoCredentialsError, PartialCredentialsError) as wrong:
        raise SetupError(f"{dependency}: no AWS credentials to {action}: give the task a role") from wrong
    except NoRegionError as wrong:
        raise SetupError("no AWS region: set AWS_REGION or AWS_DEFAULT_REGION") from wrong
    except (ParamValidationError, InvalidConfigError) as wrong:
        name = type(wrong).__name__
        raise SetupError(f"{dependency}: cannot {action}: the SDK refuses our settings ({name})") from wrong
    except ClientError as wrong:
        raise _client_error(dependency, action, code_of(wrong)) from wrong
    except (BotoCoreError, aiohttp.ClientError, TimeoutError, OSError) as wrong:
        raise TransientError(dependency, f"could not {action} ({type(wrong).__name__})") from wrong


def code_of(wrong: ClientError) -> str:
    """The vendor's error code."""
    return str(wrong.response.get("Error", {}).get("Code", ""))


def _client_error(dependency: str, action: str, code: str) -> AcequiaError:
    if code in MISSING_QUEUE | MISSING_LOGIN:
        what = "the queue" if code in MISSING_QUEUE else "it"
        return AbsentError(f"{dependency}: cannot {action}: {what} does not exist in this account and region")
    if code in MISSING_BUCKET:
        return AbsentError(f"{dependency}: cannot {action}: the bucket does not exist")
    if code in MISSING_OBJECT:
        return RejectedError("missing_object", "nothing lies at the object's address")
    if code in REFUSED | REFUSED_LOGIN:
        what = "a message of ours was refused" if code in REFUSED else "check that setting and what it names"
        return SetupError(f"{dependency}: could not {action}: {what} ({code})")
    if code in FORBIDDEN:
        return SetupError(f"{dependency}: not allowed to {action} ({code}): check the task role's policy")
    return TransientError(dependency, f"could not {action} ({code})")


TRANSIENT_CLASSES = {"08", "25", "40", "53", "54", "55", "57", "58"}
DATA_CLASSES = {"22", "23"}
CONTENDED = {"40001", "40P01", "55P03"}
FILE_NAMED = re.compile(r"[Ff]ile(?: name:)? '?((?:https|s3)://[^\s']+)")
SERIALIZATION = "1023"
"""Redshift's serializable isolation violation: this is the whole message, under SQLSTATE XX000."""

# Redshift reports nearly everything as XX000, so that only its own words tell which kind it is. They are looked at
# here and nowhere else; what is not listed makes the layer wait and show the words, because waiting loses nothing.
TRANSIENT_WORDS = re.compile(
    r"disk full|resize mode|is being resized|\bwlm\b|concurrent ddl|slow ?down|internalerror|service ?unavailable"
    r"|request ?timeout|please (?:try|retry)"
)
SETUP_WORDS = re.compile(r"access denied|not authorized|s3serviceexception|assume role|requires serializetojson")
DATA_WORDS = re.compile(
    r"length of the data column|incompatible parquet schema|unmatched number of columns|cannot insert a null value"
    r"|numeric data overflow|integer overflow|precision exceeds maximum|value out of range|string value exceeds"
    r"|file entry does not have|file not found|combined length of columns processed|\bjson\b|\bparquet\b"
)
GRANT = "- grant the loader's user SELECT, INSERT and DELETE on it, and USAGE on its schema"
BESIDE_THE_POINT = re.compile(r"(?:https?|s3)://\S+|location:\s*\S+")
"""Addresses and source files: a bucket called `json` says nothing."""
CODE = re.compile(r"code:\s*(\d+)")


@contextmanager
def warehouse_faults(action: str) -> Iterator[None]:
    """The same for Redshift. A refusal of data never quotes the data: its message only where that holds no value."""
    try:
        yield
    except asyncpg.PostgresError as wrong:
        raise _postgres_error(action, wrong) from wrong
    except (asyncpg.InterfaceError, asyncpg.InternalClientError, TimeoutError, OSError) as wrong:
        raise TransientError("warehouse", f"could not {action} ({type(wrong).__name__})") from wrong


class LoginRefusedError(SetupError):
    """The warehouse does not let this user in with this password."""


@contextmanager
def login_faults(advice: str) -> Iterator[None]:
    """Around one login, inside the others: a refusal (SQLSTATE 28…) says where to look. All else goes on as it is."""
    try:
        yield
    except asyncpg.InvalidAuthorizationSpecificationError as wrong:
        text = f"warehouse: the login is refused: {_message(wrong)} (SQLSTATE {wrong.sqlstate}): {advice}"
        raise LoginRefusedError(text) from wrong


def _postgres_error(action: str, wrong: asyncpg.PostgresError) -> AcequiaError:
    state = str(wrong.sqlstate or "XX000")
    message = _message(wrong)
    if state[:2] in DATA_CLASSES:
        return _refused(wrong, message, state)
    if state in CONTENDED or (state[:2] == "XX" and message == SERIALIZATION):
        return ContendedError("warehouse", f"could not {action}: another transaction was at the same table ({state})")
    if state[:2] in TRANSIENT_CLASSES:
        return TransientError("warehouse", f"could not {action} (SQLSTATE {state})")
    if state[:2] == "XX":
        words = BESIDE_THE_POINT.sub("", f"{message} {wrong.detail or ''}").lower()
        if TRANSIENT_WORDS.search(words):
            return TransientError("warehouse", f"could not {action} (SQLSTATE {state})")
        if not SETUP_WORDS.search(words) and DATA_WORDS.search(words):
            return _refused(wrong, message, state)
    told = " ".join(filter(None, [message, _code(wrong), GRANT if state == "42501" else ""]))
    return SetupError(f"warehouse: cannot {action}: {told} (SQLSTATE {state})")


def _refused(wrong: asyncpg.PostgresError, message: str, state: str) -> RejectedError:
    """A refusal of data in the warehouse's own words, without what stands in quotes."""
    told = without_quoted(message)
    column = wrong.column_name if isinstance(wrong.column_name, str) else None
    return RejectedError(
        "load_refused", f"the warehouse refused the data: {told} ({state})", column=column, file=_file_in(wrong)
    )


def _code(wrong: asyncpg.PostgresError) -> str:
    """Redshift's own number, from its DETAIL; the rest of that may hold values."""
    found = CODE.search(wrong.detail or "")
    return f"(code {found[1]})" if found else ""


def _file_in(wrong: asyncpg.PostgresError) -> str | None:
    """The file that a refusal names: `File name: https://…` or `File 'https://…' has …`."""
    found = FILE_NAMED.search(f"{_message(wrong)} {wrong.detail or ''}")
    return found[1] if found else None


def _message(wrong: asyncpg.PostgresError) -> str:
    """The message alone, on one line: its text form would add the DETAIL, which quotes values and paths."""
    return " ".join(str(wrong.args[0]).split()) if wrong.args else ""
