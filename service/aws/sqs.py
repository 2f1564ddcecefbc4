"""The `Queue` port on SQS.

Batch calls answer 200 with failures inside: an entry is done when the answer says so by its name, and else it is not.
Batches hold at most ten entries and at most 1 MiB together (SQS quotas). Every call has a time limit of its own,
because neither the SDK's timeouts nor aiohttp's bound the wait for a connection.

To the SDK a body that is no JSON, one that broke off, is an answer without content: to a receive, an empty queue. Here
it is no answer. A body of no bytes stays one, because SQS has answered so to polls that found nothing; where a
receive's body was lost altogether, its messages come again when their visibility ends.
"""

import asyncio
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, TypeVar

from service.aws.clients import AwsClient
from service.aws.faults import aws_faults
from service.core.errors import SetupError, TransientError
from service.core.model import Attribute, Message, Outgoing
from service.core.ports import Clock, Depth, FanOut

T = TypeVar("T")

ENTRIES_MAX = 10
BATCH_BYTES_MAX = 1024 * 1024
ENTRY_OVERHEAD_BYTES = 64
CALL_SECONDS_MAX = 60
POLL_MARGIN_SECONDS = 15


class SqsQueue:
    """One queue. `polling` serves receives, `calls` everything else."""

    def __init__(
        self, name: str, url: str, *, polling: AwsClient, calls: AwsClient, fan_out: FanOut, clock: Clock
    ) -> None:
        self.name = name
        self._url = url
        self._polling = polling
        self._calls = calls
        self._fan_out = fan_out
        self._clock = clock
        for client in (polling, calls):
            _take_whole_answers(client)

    async def receive(self, *, wait_seconds: int, visibility_seconds: int) -> list[Message]:
        """Up to ten messages with all their attributes."""
        with aws_faults("sqs", f"receive from {self.name}"):
            async with asyncio.timeout(wait_seconds + POLL_MARGIN_SECONDS):
                answer = await self._polling.receive_message(
                    QueueUrl=self._url,
                    MaxNumberOfMessages=ENTRIES_MAX,
                    WaitTimeSeconds=wait_seconds,
                    VisibilityTimeout=visibility_seconds,
                    MessageSystemAttributeNames=["SentTimestamp", "ApproximateReceiveCount"],
                    MessageAttributeNames=["All"],
                )
        now = self._clock.now()
        return [_message(given, now) for given in answer.get("Messages", [])]

    async def delete(self, receipts: Sequence[str]) -> list[str]:
        """Delete in tens, side by side; returns what was not deleted."""
        failed = await self._fan_out.run(self._delete(ten) for ten in _tens(receipts))
        return [receipt for some in failed for receipt in some]

    async def hide(self, receipts: Sequence[str], seconds: int) -> list[str]:
        """Change visibility in tens, side by side; returns what was not changed."""
        failed = await self._fan_out.run(self._hide(ten, seconds) for ten in _tens(receipts))
        return [receipt for some in failed for receipt in some]

    async def send(self, messages: Sequence[Outgoing]) -> None:
        """Send in batches, side by side; raises unless every message was taken."""
        await self._fan_out.run(self._send(batch) for batch in _batches(messages))

    async def depth(self) -> Depth:
        """What SQS says about the queue; all its counts are approximate."""
        names = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
        with aws_faults("sqs", f"read the depth of {self.name}"):
            async with asyncio.timeout(CALL_SECONDS_MAX):
                answer = await self._calls.get_queue_attributes(QueueUrl=self._url, AttributeNames=[*names])
        told = answer.get("Attributes", {})
        if not told.keys() >= {*names}:
            raise TransientError("sqs", f"the answer about {self.name} does not tell its depth")
        return Depth(*(int(told[name]) for name in names))

    async def _delete(self, receipts: Sequence[str]) -> list[str]:
        entries = [{"Id": str(n), "ReceiptHandle": receipt} for n, receipt in enumerate(receipts)]
        with aws_faults("sqs", f"delete messages from {self.name}"):
            async with asyncio.timeout(CALL_SECONDS_MAX):
                answer = await self._calls.delete_message_batch(QueueUrl=self._url, Entries=entries)
        return _not_done(receipts, answer)

    async def _hide(self, receipts: Sequence[str], seconds: int) -> list[str]:
        entries = [
            {"Id": str(n), "ReceiptHandle": receipt, "VisibilityTimeout": seconds} for n, receipt in enumerate(receipts)
        ]
        with aws_faults("sqs", f"change visibility in {self.name}"):
            async with asyncio.timeout(CALL_SECONDS_MAX):
                answer = await self._calls.change_message_visibility_batch(QueueUrl=self._url, Entries=entries)
        return _not_done(receipts, answer)

    async def _send(self, messages: Sequence[Outgoing]) -> None:
        entries = [
            {
                "Id": str(n),
                "MessageBody": message.body,
                "MessageAttributes": _attributes_out(message.attributes),
                "DelaySeconds": message.delay_seconds,
            }
            for n, message in enumerate(messages)
        ]
        with aws_faults("sqs", f"send to {self.name}"):
            async with asyncio.timeout(CALL_SECONDS_MAX):
                answer = await self._calls.send_message_batch(QueueUrl=self._url, Entries=entries)
        failed = answer.get("Failed", [])
        refused = [entry for entry in failed if entry.get("SenderFault")]
        if refused:
            raise SetupError(f"sqs: {self.name} refused a message of ours ({refused[0].get('Code')})")
        if left := len(_not_done(messages, answer)):
            code = failed[0].get("Code") if failed else "the answer does not name them"
            raise TransientError("sqs", f"{self.name} did not take {left} messages ({code})")


async def queue_url(client: AwsClient, name: str) -> str:
    """The address of a queue in this account and region; SetupError when there is none."""
    _take_whole_answers(client)
    with aws_faults("sqs", f"find the queue {name}"):
        async with asyncio.timeout(CALL_SECONDS_MAX):
            answer = await client.get_queue_url(QueueName=name)
    if "QueueUrl" not in answer:
        raise TransientError("sqs", f"the answer about the queue {name} does not tell its address")
    return str(answer["QueueUrl"])


def _take_whole_answers(client: AwsClient) -> None:
    """Have bodies looked at before the SDK reads them; once a client. Those that are not the SDK's have no events."""
    if (events := getattr(getattr(client, "meta", None), "events", None)) is not None:
        events.register("before-parse.sqs", _look_at_body, unique_id="acequia-whole-answers")


def _look_at_body(*, response_dict: dict[str, Any], **_: Any) -> None:
    """Raise TransientError for a body that is no JSON object. A refusal does without: the SDK would trip over some."""
    body = response_dict["body"]
    try:
        whole = not body or isinstance(json.loads(body.decode()), dict)
    except ValueError:
        whole = False
    if whole:
        return
    if response_dict["status_code"] < HTTPStatus.MULTIPLE_CHOICES:
        raise TransientError("sqs", f"an answer broke off, or is none of SQS's ({len(body)} bytes)")
    response_dict["body"] = b""


def _not_done(items: Sequence[T], answer: Mapping[str, Any]) -> list[T]:
    """Those whose entries the answer does not name as done; entries are named by their place."""
    done = {entry["Id"] for entry in answer.get("Successful", [])}
    done -= {entry["Id"] for entry in answer.get("Failed", [])}
    return [item for place, item in enumerate(items) if str(place) not in done]


def _message(given: Mapping[str, Any], now: datetime) -> Message:
    system = given.get("Attributes", {})
    return Message(
        message_id=given["MessageId"],
        body=given["Body"],
        attributes={name: _attribute_in(value) for name, value in given.get("MessageAttributes", {}).items()},
        sent_at=datetime.fromtimestamp(int(system.get("SentTimestamp", 0)) / 1000, UTC),
        received_at=now,
        receive_count=int(system.get("ApproximateReceiveCount", 1)),
        receipt=given["ReceiptHandle"],
    )


def _attribute_in(given: Mapping[str, Any]) -> Attribute:
    return Attribute(given["DataType"], given["BinaryValue"] if "BinaryValue" in given else given["StringValue"])


def _attributes_out(attributes: Mapping[str, Attribute]) -> dict[str, dict[str, str | bytes]]:
    return {
        name: {"DataType": one.type, ("BinaryValue" if isinstance(one.value, bytes) else "StringValue"): one.value}
        for name, one in attributes.items()
    }


def _tens(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[start : start + ENTRIES_MAX] for start in range(0, len(items), ENTRIES_MAX))


def _batches(messages: Iterable[Outgoing]) -> Iterator[list[Outgoing]]:
    """At most ten messages and at most 1 MiB together; one that is larger by itself is left for SQS to refuse."""
    batch: list[Outgoing] = []
    batch_bytes = 0
    for message in messages:
        size = _size_bytes(message)
        if batch and (len(batch) == ENTRIES_MAX or batch_bytes + size > BATCH_BYTES_MAX):
            yield batch
            batch, batch_bytes = [], 0
        batch.append(message)
        batch_bytes += size
    if batch:
        yield batch


def _size_bytes(message: Outgoing) -> int:
    parts: list[str | bytes] = [message.body]
    for name, one in message.attributes.items():
        parts += [name, one.type, one.value]
    return sum(map(_bytes, parts)) + ENTRY_OVERHEAD_BYTES


def _bytes(part: str | bytes) -> int:
    return len(part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part)
