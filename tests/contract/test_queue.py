"""The `Queue` port, on the fake and on SQS. Visibilities are real seconds, as short as SQS allows."""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from service.aws.sqs import SqsQueue
from service.core.clock import SystemClock
from service.core.errors import AcequiaError, SetupError, TransientError
from service.core.model import Attribute, Message, Outgoing
from service.core.ports import Depth, Queue
from service.local.ports import HOST, free_port
from service.runtime import PooledFanOut
from tests.contract.places import Place, RealPlace, clients_of, sqs_queue
from tests.faults.actions import entries_fail
from tests.faults.calls import Action, Call, Forward
from tests.unit.aws.wire import behind, broken_off

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(60)]

LONG = 60
"""A visibility that does not end during a test."""
CLOCK_SLACK_SECONDS = 0.2
KIBIBYTE = 1024


@pytest_asyncio.fixture(loop_scope="session")
async def queue(place: Place) -> Queue:
    """A queue of the test's own."""
    return await place.queue()


async def test_bodies_and_attributes_of_every_kind_arrive_as_they_were_sent(queue: Queue) -> None:
    sent = Outgoing(
        '{"name": "Ævar Ж 名字 \U0001f600 <&\'\\> \t\r\n \u0085\u2028\ufffd", "nul": "\\u0000"}',
        {
            "dataset": Attribute("String", "eventos_ñ 名字 \U0001f600"),
            "attempt": Attribute("Number", "12345678901234567890.5"),
            "digest": Attribute("Binary", bytes(range(256))),
            "kind": Attribute("String.json", "{}"),
        },
    )
    await queue.send([sent])
    [message] = await queue.receive(wait_seconds=5, visibility_seconds=LONG)
    assert (message.body, dict(message.attributes)) == (sent.body, dict(sent.attributes))
    assert message.receive_count == 1


async def test_many_messages_all_arrive_at_most_ten_at_a_time(queue: Queue) -> None:
    bodies = {f"body {number}" for number in range(33)}
    await queue.send([Outgoing(body) for body in bodies])
    received = await _receive(queue, 33)
    assert {message.body for message in received} == bodies
    assert len({message.message_id for message in received}) == 33
    assert len({message.receipt for message in received}) == 33


@pytest.mark.parametrize("letter", ["x", "ж"], ids=["one byte a letter", "two bytes a letter"])
async def test_messages_that_are_too_large_for_one_call_together_all_arrive(queue: Queue, letter: str) -> None:
    size = 450 * KIBIBYTE // len(letter.encode())
    await queue.send([Outgoing(str(number) + letter * size) for number in range(7)])
    received = await _receive(queue, 7)
    assert sorted(message.body[0] for message in received) == [str(number) for number in range(7)]
    assert {len(message.body) for message in received} == {size + 1}


async def test_a_message_comes_again_when_its_visibility_ends_and_not_before(queue: Queue) -> None:
    await queue.send([Outgoing("again")])
    asked = time.monotonic()
    [first] = await queue.receive(wait_seconds=5, visibility_seconds=1)
    [second] = await queue.receive(wait_seconds=10, visibility_seconds=LONG)
    assert 1 - CLOCK_SLACK_SECONDS < time.monotonic() - asked < 5
    assert (second.message_id, second.body, second.sent_at) == (first.message_id, "again", first.sent_at)
    assert (first.receive_count, second.receive_count) == (1, 2)
    assert first.receipt != second.receipt
    assert await queue.receive(wait_seconds=0, visibility_seconds=LONG) == []


async def test_a_deleted_message_never_comes_again(queue: Queue) -> None:
    await queue.send([Outgoing("gone"), Outgoing("stays")])
    received = await _receive(queue, 2, visibility_seconds=1)
    assert await queue.delete([message.receipt for message in received if message.body == "gone"]) == []
    [again] = await _receive(queue, 1)
    assert again.body == "stays"
    assert await queue.receive(wait_seconds=0, visibility_seconds=LONG) == []


async def test_hiding_for_no_time_brings_a_message_back_at_once(queue: Queue) -> None:
    await queue.send([Outgoing("back")])
    [first] = await queue.receive(wait_seconds=5, visibility_seconds=LONG)
    assert await queue.hide([first.receipt], 0) == []
    [second] = await queue.receive(wait_seconds=5, visibility_seconds=LONG)
    assert (second.message_id, second.receive_count) == (first.message_id, 2)


async def test_hiding_extends_the_time_that_a_message_is_ours(queue: Queue) -> None:
    await queue.send([Outgoing("extended"), Outgoing("left")])
    received = await _receive(queue, 2, visibility_seconds=1)
    assert await queue.hide([message.receipt for message in received if message.body == "extended"], LONG) == []
    [again] = await _receive(queue, 1)
    assert again.body == "left"
    assert await queue.receive(wait_seconds=0, visibility_seconds=LONG) == []


async def test_a_receive_from_an_empty_queue_waits_and_brings_nothing(queue: Queue) -> None:
    began = time.monotonic()
    assert await queue.receive(wait_seconds=1, visibility_seconds=LONG) == []
    assert time.monotonic() - began > 1 - CLOCK_SLACK_SECONDS


async def test_a_waiting_receive_ends_when_a_message_comes(queue: Queue) -> None:
    began = time.monotonic()
    waiting = asyncio.ensure_future(queue.receive(wait_seconds=10, visibility_seconds=LONG))
    await asyncio.sleep(0)
    await queue.send([Outgoing("woken")])
    assert [message.body for message in await waiting] == ["woken"]
    assert time.monotonic() - began < 5


async def test_what_could_not_be_settled_is_told_by_its_receipt(queue: Queue) -> None:
    await queue.send([Outgoing(str(number)) for number in range(24)])
    receipts = [message.receipt for message in await _receive(queue, 24)]
    mixed = [*receipts[:12], "no receipt of ours", *receipts[12:]]
    assert await queue.hide(mixed, LONG) == ["no receipt of ours"]
    assert await queue.delete(mixed) == ["no receipt of ours"]
    # Nothing is claimed here about receipts of a message that was received or deleted since: SQS may say OK
    # and do nothing, and the emulator refuses them.


async def test_nothing_to_do_is_no_failure(queue: Queue) -> None:
    await queue.send([])
    assert await queue.delete([]) == []
    assert await queue.hide([], 0) == []


async def test_times_are_utc_and_of_this_moment(queue: Queue, place: Place) -> None:
    before = place.clock.now()
    await queue.send([Outgoing("now")])
    [message] = await queue.receive(wait_seconds=5, visibility_seconds=LONG)
    after = place.clock.now()
    slack = timedelta(seconds=CLOCK_SLACK_SECONDS)
    assert message.sent_at.tzinfo is message.received_at.tzinfo is UTC
    assert before - slack <= message.sent_at <= message.received_at + slack
    assert before <= message.received_at <= after


@pytest.mark.stack
async def test_a_queue_that_does_not_exist_is_an_operators_matter(real: RealPlace) -> None:
    queue = await real.queue()
    url = (await real.clients.sqs.get_queue_url(QueueName=queue.name))["QueueUrl"]
    await real.clients.sqs.delete_queue(QueueUrl=url)
    for call in (
        queue.receive(wait_seconds=0, visibility_seconds=LONG),
        queue.send([Outgoing("x")]),
        queue.delete(["x"]),
        queue.hide(["x"], 0),
    ):
        with pytest.raises(SetupError, match=f"{queue.name}.*the queue does not exist"):
            await call


@pytest.mark.stack
async def test_a_message_that_sqs_refuses_raises_and_those_beside_it_stay_sent(real: RealPlace) -> None:
    queue = await real.queue()
    with pytest.raises(AcequiaError, match=f"{queue.name} refused a message of ours"):
        await queue.send([Outgoing("good"), Outgoing("a control character: \x01")])
    assert [message.body for message in await _receive(queue, 1)] == ["good"]


class _Calls:
    """Takes every batch, and notes how many bytes SQS would count in it: bodies, attributes' names, types, values."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    async def send_message_batch(self, **given: Any) -> dict[str, Any]:
        self.batches.append(sum(self._bytes(entry) for entry in given["Entries"]))
        return {"Successful": [{"Id": entry["Id"]} for entry in given["Entries"]]}

    def _bytes(self, entry: dict[str, Any]) -> int:
        texts = [entry["MessageBody"]]
        for name, value in entry["MessageAttributes"].items():
            texts += [name, *value.values()]
        return sum(len(text if isinstance(text, bytes) else text.encode()) for text in texts)


# The emulator does not count attributes, so what is sent is weighed here.
@pytest.mark.parametrize(
    "value",
    [b"\xff" * 120_000, "x" * 120_000, "ж" * 60_000],
    ids=["binary", "one byte a letter", "two bytes a letter"],
)
async def test_attributes_count_toward_the_size_of_a_batch(value: str | bytes) -> None:
    calls = _Calls()
    queue = SqsQueue("records", "url", polling=calls, calls=calls, fan_out=PooledFanOut(4), clock=SystemClock())
    attribute = Attribute("Binary" if isinstance(value, bytes) else "String", value)
    await queue.send([Outgoing("x", {"a": attribute}) for _ in range(10)])
    assert len(calls.batches) >= 2
    assert max(calls.batches) <= 1024 * KIBIBYTE


async def test_a_queue_that_nobody_answers_for_is_away_and_we_hear_of_it_soon() -> None:
    endpoint = f"http://{HOST}:{free_port(0)}"
    async with clients_of(endpoint) as clients:
        queue = sqs_queue("records", f"{endpoint}/000000000000/records", clients)
        calls = (
            queue.receive(wait_seconds=1, visibility_seconds=LONG),
            queue.send([Outgoing("x")]),
            queue.delete(["x"]),
            queue.hide(["x"], 0),
        )
        began = time.monotonic()
        ends = await asyncio.gather(*calls, return_exceptions=True)
    assert time.monotonic() - began < 10, "the SDK's own tries are few and quick"
    assert [type(end) for end in ends] == [TransientError] * 4
    assert all("EndpointConnectionError" in str(end) for end in ends)


async def through(call: Call, forward: Forward) -> Any:
    """As it is."""
    return await forward(call)


@pytest.mark.stack
@pytest.mark.parametrize("flaw", [entries_fail(1), through], ids=["in part", "whole"])
async def test_answers_that_broke_off_are_no_answers(real: RealPlace, tmp_path: Path, flaw: Action) -> None:
    name = (await real.queue()).name
    async with behind(broken_off(flaw), tmp_path, endpoint=real.endpoint, name=name) as queue:
        for call in (queue.send([Outgoing("x")]), queue.delete(["x", "y"]), queue.hide(["x", "y"], 0)):
            with pytest.raises(TransientError, match="broke off"):
                await call


@pytest.mark.stack
async def test_a_receive_that_broke_off_is_no_empty_queue(real: RealPlace, tmp_path: Path) -> None:
    whole = await real.queue()
    async with behind(broken_off(through), tmp_path, endpoint=real.endpoint, name=whole.name) as queue:
        await whole.send([Outgoing("come again")])
        with pytest.raises(TransientError, match="broke off"):
            await queue.receive(wait_seconds=5, visibility_seconds=1)
    [again] = await whole.receive(wait_seconds=10, visibility_seconds=LONG)
    assert (again.body, again.receive_count) == ("come again", 2)


async def _receive(queue: Queue, count: int, *, visibility_seconds: int = LONG) -> Sequence[Message]:
    """That many messages, however many receives it takes; a receive may bring fewer than there are."""
    received: list[Message] = []
    while len(received) < count:
        some = await queue.receive(wait_seconds=5, visibility_seconds=visibility_seconds)
        assert 0 < len(some) <= 10, f"only {len(received)} of {count} came"
        received += some
    return received


async def test_the_depth_tells_what_waits_and_what_is_in_flight(queue: Queue) -> None:
    assert await queue.depth() == Depth(0, 0)
    await queue.send([Outgoing(str(number)) for number in range(12)])
    held = await queue.receive(wait_seconds=1, visibility_seconds=LONG)
    assert await queue.depth() == Depth(12 - len(held), len(held))
    await queue.delete([message.receipt for message in held])
    assert await queue.depth() == Depth(12 - len(held), 0)


async def test_a_delayed_message_comes_when_its_delay_is_over(queue: Queue) -> None:
    await queue.send([Outgoing("later", delay_seconds=1), Outgoing("now")])
    assert [m.body for m in await queue.receive(wait_seconds=0, visibility_seconds=LONG)] == ["now"]
    assert [m.body for m in await queue.receive(wait_seconds=3, visibility_seconds=LONG)] == ["later"]
