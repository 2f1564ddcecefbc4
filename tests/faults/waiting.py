"""Scenarios that take as long as a visibility, or as the SDK waits for a byte: mostly they wait.

The shortest visibility that the settings allow is 62 seconds, and the SDK's read timeout is 30. So these begin with the
first test of the directory, run beside the others, and have their ends awaited by `test_waiting.py`.
"""

import signal

from tests.faults.actions import hang, paced, s3_error, signal_first, sqs_error
from tests.faults.calls import Pace
from tests.faults.checker import check
from tests.faults.events import loans
from tests.faults.history import chosen
from tests.faults.line import Line

EXPIRES_SECONDS_MAX = 110


async def extensions_fail(line: Line) -> None:
    """The work is slower than the visibility, which cannot be extended: its messages are not deleted by us."""
    lines = loans(60)
    held = line.rules.on("PutObject", s3_error("ServiceUnavailable", 503), target="^acequia-raw/", times=None)
    vain = line.rules.on("ChangeMessageVisibilityBatch", sqs_error("ServiceUnavailable", 503), times=None)
    await line.send(line.messages(lines, records_per_message=10))
    program = await line.start()
    await line.fired(vain, seconds_max=EXPIRES_SECONDS_MAX)
    await program.until("claims_expired", seconds_max=EXPIRES_SECONDS_MAX)
    held.lift()
    vain.lift()
    await line.idle()
    stores = await check(line, lines, faults=[held, vain])
    _first_receipts_were_not_used(line, "worker-1")
    assert all(count == 1 for count in stores.events.values())


async def objects_stall(line: Line) -> None:
    """A PUT whose answer never comes (a connection half open), then a body that stops on its way."""
    lines = loans(100)
    silent = line.rules.on("PutObject", hang, target="^acequia-raw/")
    stalled = line.rules.on("GetObject", paced(Pace(1_000, 0, stalls_after_bytes=1_000)), target="^acequia-raw/")
    await line.send(line.messages(lines, records_per_message=10))
    program = await line.start()
    await line.fired(stalled, seconds_max=EXPIRES_SECONDS_MAX)
    assert (await program.probe("/livez"))[0] == 200
    await line.idle(seconds_max=EXPIRES_SECONDS_MAX)
    await check(line, lines, faults=[silent, stalled])


async def sleeper(line: Line) -> None:
    """A process that slept for longer than the visibility sees that its claims are gone before it acts on them."""
    lines = loans(60)
    rule = line.rules.on("PutObject", signal_first(signal.SIGSTOP), target="^acequia-raw/")
    await line.send(line.messages(lines, records_per_message=10))
    sleeper = await line.begin()
    await line.fired(rule)
    await line.start()
    await line.idle(seconds_max=EXPIRES_SECONDS_MAX)  # the other one gets the messages when their time is up
    sleeper.signal(signal.SIGCONT)
    await sleeper.until("claims_expired")
    await sleeper.until("batch_finished")
    await line.idle()
    await check(line, lines, faults=[rule])
    _first_receipts_were_not_used(line, "worker-1")
    assert await sleeper.drained() == 0


def _first_receipts_were_not_used(line: Line, worker: str) -> None:
    history = line.history.read()
    first = {
        message["receipt"]
        for entry in chosen(history, "done", "ReceiveMessage", "-records", worker=worker)
        for message in entry.facts["messages"]
        if message["count"] == 1
    }
    assert first
    for entry in chosen(history, "asked", "DeleteMessageBatch", "-records", worker=worker):
        assert not first & set(entry.facts["receipts"].values()), "deleted with a claim that had expired"
