"""SQS as its SDK's client shows it, for one process and one queue: so the real `SqsQueue` runs in the simulation.

Answers have the shape that AWS documents: an empty poll has no `Messages`, batch calls answer 200 with `Failed` inside,
attributes come only when asked for, and a batch that is too large or too long is refused whole. A fault may leave
nothing of an answer but its 200. Time limits are the caller's affair: here a call may take for ever.
"""

import asyncio
import hashlib
import itertools
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from botocore.exceptions import ClientError, EndpointConnectionError

from service.core.errors import SetupError, TransientError
from service.core.model import Attribute, Message, Outgoing, utf8_bytes
from tests.fakes.queue import FakeQueue
from tests.simulation.faults import Fault
from tests.simulation.process import FOREVER_SECONDS, Process, Special

T = TypeVar("T")
Answer = dict[str, Any]
Entry = Mapping[str, Any]

ENTRIES_MAX, BATCH_BYTES_MAX = 10, 1024 * 1024
"""AWS: quotas of a batch call."""
FAILS = {"Code": "InternalError", "Message": "try again", "SenderFault": False}
REFUSED = {"Code": "InvalidMessageContents", "Message": "not like this", "SenderFault": True}
STRANGE = {"Code": "ReceiptHandleIsInvalid", "Message": "never handed out", "SenderFault": True}
TORN: tuple[Answer, ...] = ({}, {"message": "<html>"})
"""A 200 without a body, and one with the words of somebody in between: botocore gives both as they are."""


class SqsClient:
    """The calls that the service makes. Each passes the process's gate, and fails as the SDK lets it fail."""

    def __init__(self, queue: FakeQueue, process: Process) -> None:
        self._queue = queue
        self._process = process
        self.failed: dict[str, set[str]] = {"delete": set(), "hide": set()}
        """By verb: receipts of entries of which the last answer did not say that it was done."""

    async def receive_message(self, **given: Any) -> Answer:
        """A long poll."""
        wait, visibility = given["WaitTimeSeconds"], given["VisibilityTimeout"]

        async def receive() -> list[Message]:
            return await self._queue.receive(wait_seconds=wait, visibility_seconds=visibility)

        async def nothing(_: Fault) -> list[Message]:
            await asyncio.sleep(wait)
            return []

        async def again(fault: Fault) -> list[Message]:
            if not self._queue.double():
                self._process.weather.never_mind(fault)
            return await receive()

        async def undeleted(fault: Fault) -> list[Message]:
            if not self._queue.undelete():
                self._process.weather.never_mind(fault)
            return await receive()

        special = {"nothing": nothing, "again": again, "undeleted": undeleted}
        found = await self._call("receive", receive, special)
        return {"Messages": [_message(one, given) for one in found]} if found else {}

    async def delete_message_batch(self, **given: Any) -> Answer:
        """Delete up to ten."""
        return await self._settle("delete", given["Entries"], self._queue.delete)

    async def change_message_visibility_batch(self, **given: Any) -> Answer:
        """Hide up to ten, all for as long as the first."""
        entries = given["Entries"]
        [seconds] = {entry["VisibilityTimeout"] for entry in entries}
        return await self._settle("hide", entries, lambda receipts: self._queue.hide(receipts, seconds))

    async def send_message_batch(self, **given: Any) -> Answer:
        """Send up to ten, which together may be as large as one."""
        entries: Sequence[Entry] = given["Entries"]
        _look("SendMessageBatch", entries, sum(utf8_bytes(entry["MessageBody"]) for entry in entries))

        async def send(first: int, failure: Mapping[str, Any]) -> Answer:
            await self._queue.send([_outgoing(entry) for entry in entries[first:]])
            ids = reversed(list(itertools.islice(reversed(self._queue.sent), len(entries) - first)))
            sent = [
                {"Id": one["Id"], "MessageId": name, "MD5OfMessageBody": _md5(one["MessageBody"])}
                for one, name in zip(entries[first:], ids, strict=True)
            ]
            return _answer(sent, [{"Id": entry["Id"], **failure} for entry in entries[:first]])

        whole = partial(send, 0, FAILS)
        special: dict[str, Special[Answer]] = {
            "some fail": lambda _: send(1, FAILS),
            "some refused": lambda _: send(1, REFUSED),
            **_cut(whole),
        }
        return await self._call("send", whole, special)

    async def get_queue_attributes(self, **given: Any) -> Answer:
        """The counts that were asked for, as text."""
        depth = await self._at("depth", self._queue.depth, {})
        counts = {
            "ApproximateNumberOfMessages": depth.waiting,
            "ApproximateNumberOfMessagesNotVisible": depth.in_flight,
        }
        return {"Attributes": {name: str(counts[name]) for name in given["AttributeNames"]}}

    async def _settle(
        self, verb: str, entries: Sequence[Entry], act: Callable[[Sequence[str]], Awaitable[Sequence[str]]]
    ) -> Answer:
        _look(verb, entries, 0)
        receipts = [entry["ReceiptHandle"] for entry in entries]

        async def settle(asked: Sequence[Entry]) -> Answer:
            strange = await act([entry["ReceiptHandle"] for entry in asked])
            done = [{"Id": entry["Id"]} for entry in asked if entry["ReceiptHandle"] not in strange]
            failed = [{"Id": entry["Id"], **STRANGE} for entry in asked if entry["ReceiptHandle"] in strange]
            return _answer(done, [*[{"Id": entry["Id"], **FAILS} for entry in entries if entry not in asked], *failed])

        async def expired(_: Fault) -> Answer:
            self._queue.expire(receipts)
            return await settle(entries)

        whole = partial(settle, entries)
        special: dict[str, Special[Answer]] = {
            "some fail": lambda _: settle(entries[1::2]),
            "expired": expired,
            **_cut(whole),
        }
        answer = await self._call(verb, whole, special)
        done = {entry["Id"] for entry in answer.get("Successful", [])}
        self.failed[verb].difference_update(receipts)
        self.failed[verb].update(entry["ReceiptHandle"] for entry in entries if entry["Id"] not in done)
        return answer

    async def _call(self, verb: str, act: Callable[[], Awaitable[T]], special: Mapping[str, Special[T]]) -> T:
        return await self._at(point_of(self._queue.name, verb), act, special)

    async def _at(self, point: str, act: Callable[[], Awaitable[T]], special: Mapping[str, Special[T]]) -> T:
        with _as_the_sdk(point):
            return await self._process.call(point, act, dependency="sqs", seconds_max=FOREVER_SECONDS, special=special)


def point_of(queue: str, verb: str) -> str:
    """What calls of that queue are counted as: all dead-letter queues are read alike, so they count together."""
    return f"dlq {verb}" if queue.endswith("-dlq") and verb != "send" else f"{queue} {verb}"


@contextmanager
def _as_the_sdk(operation: str) -> Iterator[None]:
    try:
        yield
    except TransientError as down:
        raise EndpointConnectionError(endpoint_url="https://sqs") from down
    except SetupError as wrong:
        raise _refusal("AccessDenied", operation) from wrong


def _look(operation: str, entries: Sequence[Entry], size_bytes: int) -> None:
    """What is refused whole."""
    if not entries:
        raise _refusal("AWS.SimpleQueueService.EmptyBatchRequest", operation)
    if len(entries) > ENTRIES_MAX:
        raise _refusal("AWS.SimpleQueueService.TooManyEntriesInBatchRequest", operation)
    if len({entry["Id"] for entry in entries}) < len(entries):
        raise _refusal("AWS.SimpleQueueService.BatchEntryIdsNotDistinct", operation)
    if size_bytes > BATCH_BYTES_MAX:
        raise _refusal("AWS.SimpleQueueService.BatchRequestTooLong", operation)


def _refusal(code: str, operation: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, operation)


def _cut(act: Callable[[], Awaitable[Answer]]) -> dict[str, Special[Answer]]:
    """Of the answer nothing can be read; what the fault drew says what is left of it."""

    def torn(fault: Fault) -> Answer:
        return TORN[int(fault.seconds) % len(TORN)]

    async def before(fault: Fault) -> Answer:
        return torn(fault)

    async def after(fault: Fault) -> Answer:
        await act()
        return torn(fault)

    return {"cut before": before, "cut after": after}


def _answer(done: Sequence[Entry], failed: Sequence[Entry]) -> Answer:
    lists = {"Successful": list(done), "Failed": list(failed)}
    return {name: found for name, found in lists.items() if found}


def _message(one: Message, asked: Mapping[str, Any]) -> Answer:
    system = {
        "SentTimestamp": str(round(one.sent_at.timestamp() * 1000)),
        "ApproximateReceiveCount": str(one.receive_count),
    }
    given: Answer = {
        "MessageId": one.message_id,
        "ReceiptHandle": one.receipt,
        "Body": one.body,
        "MD5OfBody": _md5(one.body),
        "Attributes": {name: system[name] for name in asked.get("MessageSystemAttributeNames", [])},
    }
    if one.attributes and "All" in asked.get("MessageAttributeNames", []):
        given["MessageAttributes"] = {
            name: {"DataType": value.type, _place(value.value): value.value} for name, value in one.attributes.items()
        }
    return given


def _outgoing(entry: Entry) -> Outgoing:
    attributes = {
        name: Attribute(given["DataType"], given.get("StringValue", given.get("BinaryValue")))
        for name, given in entry.get("MessageAttributes", {}).items()
    }
    return Outgoing(entry["MessageBody"], attributes, entry.get("DelaySeconds", 0))


def _place(value: str | bytes) -> str:
    return "BinaryValue" if isinstance(value, bytes) else "StringValue"


def _md5(body: str) -> str:
    return hashlib.md5(body.encode()).hexdigest()
