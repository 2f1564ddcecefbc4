"""Claims that are not ours any more, and objects that come slowly or never: the scenarios of `waiting.py`."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping

import pytest
import pytest_asyncio

from tests.faults.actions import paced
from tests.faults.calls import Pace
from tests.faults.checker import check
from tests.faults.conftest import DEFINITION
from tests.faults.events import loans, within_days
from tests.faults.line import Line, Services, open_line
from tests.faults.waiting import BEGUN_LATER

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240), pytest.mark.asyncio(loop_scope="session")]

Begun = Mapping[str, asyncio.Task[None]]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def later(
    request: pytest.FixtureRequest,
    services: Services,
    tmp_path_factory: pytest.TempPathFactory,
    line_numbers: Iterator[int],
) -> AsyncIterator[Begun]:
    """Those of `BEGUN_LATER` whose tests were asked for, side by side."""
    wanted = {item.name for item in request.session.items}

    async def one(name: str) -> None:
        scenario, place = scenarios[name], tmp_path_factory.mktemp(name)
        async with open_line(f"faults-{next(line_numbers)}", place, services, DEFINITION) as opened:
            await scenario(opened)

    scenarios = {scenario.__name__: scenario for scenario in BEGUN_LATER}
    tasks = {name: asyncio.create_task(one(name)) for name in scenarios if TESTS[name] in wanted}
    yield tasks
    for task in tasks.values():
        task.cancel()
    await asyncio.gather(*tasks.values(), return_exceptions=True)


TESTS = {
    "extensions_in_vain": "test_extensions_that_are_acknowledged_and_do_nothing",
    "names_do_not_resolve": "test_names_that_do_not_resolve",
    "mail_cut_off": "test_nobody_can_be_mailed",
}


async def test_extensions_that_are_acknowledged_and_do_nothing(later: Begun) -> None:
    await later["extensions_in_vain"]


async def test_names_that_do_not_resolve(later: Begun) -> None:
    await later["names_do_not_resolve"]


@pytest.mark.faults_all
async def test_nobody_can_be_mailed(later: Begun) -> None:
    await later["mail_cut_off"]


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
