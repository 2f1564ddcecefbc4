"""Which vendor error is which of ours: one table for SQS and S3, one for Redshift. Nothing else looks at theirs.

Codes are compared in both spellings that SQS uses (its JSON protocol is query-compatible).
"""

from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
import asyncpg
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

from service.core.errors import AcequiaError, RejectedError, SetupError, TransientError

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


@contextmanager
def aws_faults(dependency: str, action: str) -> Iterator[None]:
    """Around one call: whatever it raises comes out as one of our kinds. `action` is a verb and a name, no value."""
    try:
        yield
    except AcequiaError:
        raise
    except (NoCredentialsError, PartialCredentialsError) as wrong:
        raise SetupError(f"{dependency}: no AWS credentials to {action}: give the task a role") from wrong
    except ClientError as wrong:
        raise _client_error(dependency, action, code_of(wrong)) from wrong
    except (BotoCoreError, aiohttp.ClientError, TimeoutError, OSError) as wrong:
        raise TransientError(dependency, f"could not {action} ({type(wrong).__name__})") from wrong


def code_of(wrong: ClientError) -> str:
    """The vendor's error code."""
    return str(wrong.response.get("Error", {}).get("Code", ""))


def _client_error(dependency: str, action: str, code: str) -> AcequiaError:
    if code in MISSING_QUEUE:
        return SetupError(f"{dependency}: cannot {action}: the queue does not exist in this account and region")
    if code in MISSING_BUCKET:
        return SetupError(f"{dependency}: cannot {action}: the bucket does not exist")
    if code in MISSING_OBJECT:
        return RejectedError("missing_object", "nothing lies at the object's address")
    if code in FORBIDDEN:
        return SetupError(f"{dependency}: not allowed to {action} ({code}): check the task role's policy")
    return TransientError(dependency, f"could not {action} ({code})")


SERIALIZATION = "1023"
"""Redshift's serializable isolation violation: this message under SQLSTATE XX000."""
TRANSIENT_CLASSES = {"08", "40", "53", "55", "57", "58"}
DATA_CLASSES = {"22", "23"}
SETUP_CLASSES = {"28", "3D", "3F", "42", "0A"}


@contextmanager
def warehouse_faults(action: str) -> Iterator[None]:
    """The same for Redshift. A refusal of data never quotes the data: its message only where that holds no value."""
    try:
        yield
    except asyncpg.PostgresError as wrong:
        raise _postgres_error(action, wrong) from wrong
    except (asyncpg.InterfaceError, asyncpg.InternalClientError, TimeoutError, OSError) as wrong:
        raise TransientError("warehouse", f"could not {action} ({type(wrong).__name__})") from wrong


def _postgres_error(action: str, wrong: asyncpg.PostgresError) -> AcequiaError:
    state = str(wrong.sqlstate or "XX000")
    kind = state[:2]
    if kind in TRANSIENT_CLASSES or (state == "XX000" and _message(wrong) == SERIALIZATION):
        return TransientError("warehouse", f"could not {action} (SQLSTATE {state})")
    if kind in DATA_CLASSES:
        return RejectedError("load_refused", f"the warehouse refused the data ({type(wrong).__name__}, {state})")
    if kind in SETUP_CLASSES:
        return SetupError(f"warehouse: cannot {action}: {_message(wrong)} (SQLSTATE {state})")
    return RejectedError("load_refused", f"the warehouse refused the data: {_message(wrong)} ({state})")


def _message(wrong: asyncpg.PostgresError) -> str:
    """The message alone, on one line: its text form would add the DETAIL, which quotes values and paths."""
    return " ".join(str(wrong.args[0]).split()) if wrong.args else ""
