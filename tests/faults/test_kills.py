"""kill -9 at each durable effect: the worker dies, another one finishes, and everything is there exactly once."""

import signal

import pytest

from tests.faults.actions import hang, kill_after, kill_before
from tests.faults.calls import Action
from tests.faults.checker import check
from tests.faults.events import loans
from tests.faults.history import chosen
from tests.faults.line import Line
from tests.faults.stores import read_stores

pytestmark = [pytest.mark.stack, pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="session")]

SLOW_TO_SEAL = {"ACEQUIA_LAND_BATCH_SECONDS_MAX": "1000", "ACEQUIA_VISIBILITY_SECONDS": "1200"}


async def test_after_a_receive_the_message_comes_once_more(line: Line) -> None:
    lines = loans(200)
    rule = line.rules.on("ReceiveMessage", kill_after, target="-records$")
    await line.send(line.messages(lines, records_per_message=10))
    await line.killed(rule, await line.begin())
    await line.start()
    await line.idle()
    await check(line, lines, faults=[rule])
    receives = chosen(line.history.read(), "done", "ReceiveMessage", "-records")
    assert max(message["count"] for entry in receives for message in entry.facts["messages"]) == 2


async def test_with_a_batch_half_full_nothing_is_in_the_lake(line: Line) -> None:
    lines = loans(120)
    victim = await line.start(**SLOW_TO_SEAL)
    await line.send(line.messages(lines, records_per_message=10))
    await line.received(12)
    victim.signal(signal.SIGKILL)
    assert await victim.ended() == -signal.SIGKILL
    assert (await read_stores(line)).raw == {}
    assert await line.depth("records") == (0, 12)
    await line.expire(victim)
    await line.start()
    await line.idle()
    await check(line, lines, faults=[])


async def test_after_an_object_was_stored_and_before_it_is_announced(line: Line) -> None:
    lines = loans(200)
    await line.send(line.messages(lines, records_per_message=10))
    rules = []
    for target in ("^acequia-raw/", r"^acequia-refined/.*\.parquet$", r"\.manifest$"):
        rules.append(line.rules.on("PutObject", kill_after, target=target))
        await line.killed(rules[-1], await line.begin())
    await line.start()
    await line.idle()
    stores = await check(line, lines, faults=rules)
    sent = chosen(line.history.read(), "done", "SendMessageBatch", "-refine")
    announced = {uri for one in sent for message in one.facts["messages"] for uri in message["files"]}
    orphans = set(stores.raw) - announced
    assert orphans, "the first raw object is an orphan, which nobody has loaded"


async def test_after_copy_nothing_is_committed(line: Line) -> None:
    lines = loans(150)
    await line.send(line.messages(lines, records_per_message=10))
    rule = line.rules.on("COPY", kill_after)
    await line.killed(rule, await line.begin())
    assert await line.rows() == 0
    await line.start()
    await line.idle()
    await check(line, lines, faults=[rule])


async def test_after_commit_the_files_are_known_and_not_copied_again(line: Line) -> None:
    lines = loans(150)
    await line.send(line.messages(lines, records_per_message=10))
    rule = line.rules.on("COMMIT", kill_after, target="COPY")
    await line.killed(rule, await line.begin())
    before = await line.rows()
    assert before > 0
    committed = _committed(line)
    second = await line.start()
    await line.idle()
    await check(line, lines, faults=[rule])
    known = sum(one["known_files"] for one in second.said("group_loaded"))
    assert known == len(committed), "its files were known from the ledger"


async def test_between_two_delete_calls(line: Line) -> None:
    lines = loans(250)
    await line.send(line.messages(lines, records_per_message=10))
    rule = line.rules.on("DeleteMessageBatch", kill_after, target="-records$")
    others = line.rules.on("DeleteMessageBatch", hang, target="-records$", times=None)
    # One batch of 25 messages, so three calls.
    victim = await line.begin(ACEQUIA_LAND_BATCH_SECONDS_MAX="1.2", ACEQUIA_VISIBILITY_SECONDS="63")
    await line.killed(rule, victim)
    others.lift()
    assert sum(await line.depth("records")) == 15
    await line.start()
    await line.idle()
    stores = await check(line, lines, faults=[rule, others])
    assert sum(one.table.num_rows for one in stores.raw.values()) == 25 + 15, "fifteen were landed twice"


AROUND = [
    ("ReceiveMessage", "records"),
    ("SendMessageBatch", "refine"),
    ("SendMessageBatch", "load"),
    ("DeleteMessageBatch", "records"),
    ("DeleteMessageBatch", "refine"),
    ("DeleteMessageBatch", "load"),
]


@pytest.mark.faults_all
@pytest.mark.parametrize("when", [kill_before, kill_after])
@pytest.mark.parametrize(("operation", "queue"), AROUND)
async def test_around_each_call_to_each_queue(line: Line, operation: str, queue: str, when: Action) -> None:
    lines = loans(120)
    await line.send(line.messages(lines, records_per_message=10))
    rule = line.rules.on(operation, when, target=f"-{queue}$")
    await line.killed(rule, await line.begin())
    last = (operation, queue, when) == ("DeleteMessageBatch", "load", kill_after)
    assert last is (await line.left() == 0), "only after the last deletion nothing is left"
    await line.start()
    await line.idle()
    await check(line, lines, faults=[] if last else [rule])


def _committed(line: Line) -> set[str]:
    done = chosen(line.history.read(), "done", "COMMIT")
    return {uri for entry in done for uri in entry.facts.get("uris", ())}
