"""A call on its way through the proxy, and what the history tells of it: names and numbers, no record's content."""

import json
import os
import re
import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import parse_qs, unquote, urlsplit

from service.core.dead_letter import MARKER

URI = re.compile(r"s3://[^\s'\"]+")


class CutError(Exception):
    """The client's connection is to be reset."""


@dataclass
class Worker:
    """The process behind a gate; the pid is known once it was started."""

    name: str
    pid: int | None = None

    def strike(self, number: signal.Signals) -> None:
        """Send it a signal at this very moment."""
        assert self.pid is not None
        os.kill(self.pid, number)


@dataclass(frozen=True)
class Request:
    """An HTTP request, whole."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Answer:
    """An HTTP answer, and how slowly it is passed on."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    pace: "Pace | None" = None


@dataclass(frozen=True)
class Pace:
    """How a body is passed on: pieces with so many seconds between; after how many bytes it stalls, or breaks."""

    piece_bytes: int
    seconds: float
    stalls_after_bytes: int | None = None
    breaks_after_bytes: int | None = None


@dataclass
class Call:
    """One request or statement. `facts` go to the history with `asked`."""

    number: int
    worker: Worker
    service: str
    operation: str
    target: str
    request: Request | str
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def place(self) -> tuple[str, str, str, str]:
        """What the history calls it."""
        return self.worker.name, self.service, self.operation, self.target

    @property
    def http(self) -> Request:
        """The request, where it is one."""
        assert isinstance(self.request, Request)
        return self.request

    def json(self) -> dict[str, Any]:
        """The body of a call to SQS."""
        return dict(json.loads(self.http.body))


Outcome: TypeAlias = Answer | bytes
"""Of HTTP, or of the warehouse's wire protocol."""
Forward: TypeAlias = Callable[[Call], Awaitable[Any]]
"""Have the server do it; gives its answer. May be called with an altered call, or not at all."""
Action: TypeAlias = Callable[[Call, Forward], Awaitable[Any]]
"""What happens to a call: gives the answer to pass on, or raises CutError."""


def sqs_call(number: int, worker: Worker, request: Request) -> Call:
    """Read a call to SQS (AWS JSON 1.0)."""
    operation = request.headers.get("x-amz-target", "").rpartition(".")[2]
    given = json.loads(request.body or b"{}")
    queue = str(given.get("QueueUrl", given.get("QueueName", ""))).rpartition("/")[2]
    facts: dict[str, Any] = {"bytes": len(request.body)}
    if operation in ("DeleteMessageBatch", "ChangeMessageVisibilityBatch"):
        facts["receipts"] = {one["Id"]: one["ReceiptHandle"] for one in given["Entries"]}
    if operation == "SendMessageBatch":
        facts["messages"] = {
            one["Id"]: {"delay": one.get("DelaySeconds", 0), **content(one["MessageBody"])} for one in given["Entries"]
        }
    return Call(number, worker, "sqs", operation, queue, request, facts)


def sqs_done(call: Call, answer: Answer) -> dict[str, Any]:
    """What a call to SQS has brought about."""
    facts: dict[str, Any] = {"status": answer.status}
    if answer.status != 200:
        return facts
    given = json.loads(answer.body or b"{}")
    if call.operation == "ReceiveMessage":
        facts["messages"] = [
            {
                "id": one["MessageId"],
                "receipt": one["ReceiptHandle"],
                "count": int(one.get("Attributes", {}).get("ApproximateReceiveCount", 1)),
                "bytes": len(one["Body"]),
                **content(one["Body"]),
            }
            for one in given.get("Messages", [])
        ]
    if call.operation in ("DeleteMessageBatch", "ChangeMessageVisibilityBatch"):
        facts["receipts"] = [call.facts["receipts"][one["Id"]] for one in given.get("Successful", [])]
    if call.operation == "SendMessageBatch":
        facts["messages"] = [
            {"id": one["MessageId"], **call.facts["messages"][one["Id"]]} for one in given.get("Successful", [])
        ]
    return facts


def content(body: str) -> dict[str, Any]:
    """What a message of ours says: the files that a notice names, or what a dead letter is about."""
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(given, dict):
        return {}
    if MARKER in given:
        original = given.get("original", {})
        return {
            "letter": given.get("error_id"),
            "code": given.get("code"),
            "raw_file": given.get("raw_file"),
            "about": original.get("message_id"),
            "pointer": original.get("uri"),
        }
    if "files" in given and "batch_id" in given:
        return {"files": [file["uri"] for file in given["files"]], "batch_id": given["batch_id"]}
    return {}


def s3_call(number: int, worker: Worker, request: Request) -> Call:
    """Read a call to S3 (path style)."""
    parts = urlsplit(request.path)
    target = unquote(parts.path).lstrip("/")
    names = {"PUT": "PutObject", "GET": "GetObject", "HEAD": "HeadObject", "DELETE": "DeleteObject"}
    operation = names.get(request.method, request.method)
    facts: dict[str, Any] = {"bytes": len(request.body)}
    given = parse_qs(parts.query, keep_blank_values=True)
    if "delete" in given:
        operation = "DeleteObjects"
        facts["keys"] = re.findall(r"<Key>([^<]*)</Key>", request.body.decode())
    if "list-type" in given:
        operation = "ListObjects"
        target = f"{target.rstrip('/')}/{given.get('prefix', [''])[0]}"
    return Call(number, worker, "s3", operation, target, request, facts)


def sns_call(number: int, worker: Worker, request: Request) -> Call:
    """Read a call to SNS (AWS Query)."""
    given = parse_qs(request.body.decode())
    operation, topic = given.get("Action", [""])[0], given.get("TopicArn", [""])[0].rpartition(":")[2]
    return Call(number, worker, "sns", operation, topic, request, {"bytes": len(request.body)})


def sns_done(_: Call, answer: Answer) -> dict[str, Any]:
    """Whether SNS has it."""
    return {"status": answer.status}


def s3_done(_: Call, answer: Answer) -> dict[str, Any]:
    """What a call to S3 has brought about."""
    etag = next((value for name, value in answer.headers.items() if name.lower() == "etag"), "")
    return {"status": answer.status, "etag": etag.strip('"'), "bytes": len(answer.body)}
