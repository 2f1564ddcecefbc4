"""Claims that are not ours any more, and objects that come slowly or never: the scenarios of `waiting.py`."""

import asyncio
from collections.abc import Mapping

import pytest

from tests.faults.actions import paced
from tests.faults.calls import Pace
from tests.faults.checker import check
from tests.faults.events import loans, within_days
from tests.faults.line import Line

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240), pytest.mark.asyncio(loop_scope="session")]

Begun = Mapping[str, asyncio.Task[None]]


async def test_extensions_that_are_acknowledged_and_do_nothing(begun: Begun) -> None:
    await begun["extensions_in_vain"]


async def test_names_that_do_not_resolve(begun: Begun) -> None:
    await begun["names_do_not_resolve"]


async def test_nobody_can_be_mailed(begun: Begun) -> None:
    await begun["mail_cut_off"]


async def test_work_slower_than_a_visibility_that_cannot_be_extended(begun: Begun) -> None:
    await begun["extensions_fail"]


async def test_objects_that_stall(begun: Begun) -> None:
    await begun["objects_stall"]


async def test_a_process_that_slept_for_longer_than_its_claims(begun: Begun) -> None:
    await begun["sleeper"]


@pytest.mark.faults_all
async def test_an_object_that_trickles(line: Line) -> None:
    """One kilobyte a second: no read ever times out, so the call's own limit must."""
    lines = within_days(loans(12_000), 3)
    slow = line.rules.on("GetObject", paced(Pace(1_024, 1.0)), target="^acequia-raw/")
    await line.send(line.messages(lines, records_per_message=300))
    program = await line.start()
    await line.fired(slow)
    await program.until("work_failed", seconds_max=150)
    await line.idle()
    await check(line, lines, faults=[slow])
