"""SIGTERM in every phase: what is held is finished or given back in time, and the exit code says how it went."""

import asyncio
import signal
import time
from typing import Any

import pytest

from service.core.clock import LETTING_GO_SECONDS
from tests.faults.actions import hang, signal_first
from tests.faults.calls import Action, Call, Forward
from tests.faults.checker import check
from tests.faults.events import loans, within_days
from tests.faults.history import chosen
from tests.faults.line import Line

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180), pytest.mark.asyncio(loop_scope="session")]

PHASES = {
    "poll": ("ReceiveMessage", "-records$"),
    "encoding": ("ReceiveMessage", "-records$"),
    "raw object": ("PutObject", "^acequia-raw/"),
    "notice to refine": ("SendMessageBatch", "-refine$"),
    "reading the raw object": ("GetObject", "^acequia-raw/"),
    "judging": ("GetObject", "^acequia-raw/"),
    "refined object": ("PutObject", r"^acequia-refined/.*\.parquet$"),
    "COPY": ("COPY", ""),
    "COMMIT": ("COMMIT", "COPY"),
    "delete": ("DeleteMessageBatch", "-load$"),
}
INSIDE = ("encoding", "judging")
"""Work in threads, with no call to anybody: the signal comes between the answer before it and the call after it."""
FEW = ("raw object", "judging", "COPY", "delete")
BUDGET_SECONDS = 15
"""ACEQUIA_DRAIN_SECONDS_MAX of these workers."""


def _when_answered(line: Line) -> Action:
    """SIGTERM when the worker has the whole answer and has done nothing with it: it is stopped until then."""
    waiting: set[asyncio.Task[None]] = set()

    async def go_on(call: Call) -> None:
        async def told() -> bool:
            return any(entry.call == call.number for entry in chosen(line.history.read(), "told"))

        await line.until(told)
        call.worker.strike(signal.SIGTERM)
        call.worker.strike(signal.SIGCONT)

    async def act(call: Call, forward: Forward) -> Any:
        answer = await forward(call)
        call.worker.strike(signal.SIGSTOP)
        waiting.add(asyncio.ensure_future(go_on(call)))
        return answer

    return act


async def _in_phases(line: Line, phases: tuple[str, ...]) -> None:
    lines = within_days(loans(30 * len(phases)), 3)
    rules = []
    for number, phase in enumerate(phases):
        operation, target = PHASES[phase]
        action = _when_answered(line) if phase in INSIDE else signal_first(signal.SIGTERM)
        rules.append(line.rules.on(operation, action, target=target))
        await line.send(line.messages(lines[number * 30 :][:30], records_per_message=3))
        program = await line.begin()
        await line.fired(rules[-1])
        assert await program.ended(seconds_max=BUDGET_SECONDS) == 0, phase
    await line.start()
    await line.idle()
    await check(line, lines, faults=[rule for rule, phase in zip(rules, phases, strict=True) if phase != "delete"])
    assert all(rule.fired for rule in rules)


async def test_in_the_phases_with_effects(line: Line) -> None:
    await _in_phases(line, FEW)


@pytest.mark.faults_all
async def test_in_every_phase(line: Line) -> None:
    await _in_phases(line, tuple(PHASES))


async def test_during_the_start(line: Line) -> None:
    rule = line.rules.on("GetQueueUrl", hang, times=None)
    program = await line.begin()
    await line.fired(rule)
    assert await program.drained(seconds_max=10) == 0
    rule.lift()


async def test_twice_with_a_warehouse_that_hangs(line: Line) -> None:
    lines = loans(60)
    rule = line.rules.on("COPY", hang)
    await line.send(line.messages(lines, records_per_message=10))
    program = await line.start()
    await line.fired(rule)
    program.signal(signal.SIGTERM)
    await program.until("service_draining")
    program.signal(signal.SIGTERM)
    assert await program.ended(seconds_max=BUDGET_SECONDS) == 3
    await line.expire(program)
    await line.start()
    await line.idle()
    await check(line, lines, faults=[rule])


async def test_once_with_a_warehouse_that_hangs(line: Line) -> None:
    lines = loans(60)
    rule = line.rules.on("COPY", hang)
    await line.send(line.messages(lines, records_per_message=10))
    program = await line.start()
    await line.fired(rule)
    began = time.monotonic()
    assert await program.drained(seconds_max=BUDGET_SECONDS) == 0
    assert time.monotonic() - began > BUDGET_SECONDS - LETTING_GO_SECONDS - 1, "it gave COPY its time"
    assert program.said("batch_left")
    assert await line.depth("load") == (1, 0), "the notice was given back, and its COPY rolled back"
    await line.start()
    await line.idle()
    await check(line, lines, faults=[rule])


async def test_stopped_while_another_does_the_work_then_continued(line: Line) -> None:
    lines = loans(60)
    rule = line.rules.on("PutObject", signal_first(signal.SIGSTOP), target="^acequia-raw/")
    await line.send(line.messages(lines, records_per_message=10))
    zombie = await line.begin()
    await line.fired(rule)
    await line.expire(zombie)
    await line.start()
    await line.idle()
    zombie.signal(signal.SIGCONT)
    await zombie.until("batch_finished")
    await line.idle()
    await check(line, lines, faults=[rule])
    assert await zombie.drained() == 0
