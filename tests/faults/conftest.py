"""Emulated AWS and the warehouse once for all scenarios; queues, prefixes, a dataset and a proxy for each."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from service.local.emulator import emulated_aws
from service.local.ports import free_port
from service.local.postgres import postgres
from service.local.provision import create_zones, open_aws
from service.local.redshift.server import redshift_standin
from service.local.stack import ZONES
from tests.faults.letters import LETTERS
from tests.faults.line import Line, Services, open_line
from tests.faults.rounds import ROUNDS
from tests.faults.upkeep import UPKEEP
from tests.faults.waiting import BEGUN
from tests.stack.conftest import PROJECT

DEFINITION = PROJECT / "datasets" / "loan_events.toml"
LONGER = "faults_all"
BESIDE = (*ROUNDS, *UPKEEP, *LETTERS)
"""The longest first."""
LANES = 3
"""Of those, so many at once: each starts one process after the other, and starting is what costs."""

Scenario: TypeAlias = Callable[[Line], Awaitable[None]]
Task: TypeAlias = "asyncio.Task[None]"
Begin: TypeAlias = Callable[[Iterable[Scenario], int], dict[str, Task]]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the longer variations, unless they are asked for by their mark."""
    if LONGER not in config.getoption("markexpr"):
        left_out = [item for item in items if item.get_closest_marker(LONGER)]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def services(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Services]:
    """What all scenarios share."""
    directory: Path = tmp_path_factory.mktemp("services")
    async with (
        emulated_aws(directory / "aws", free_port(0)) as endpoint,
        postgres(directory / "warehouse") as warehouse,
        redshift_standin(free_port(0), warehouse, endpoint) as dsn,
        open_aws(endpoint) as aws,
    ):
        await create_zones(aws, ZONES.values())
        port = urlsplit(dsn).port
        assert port is not None
        yield Services(aws, endpoint, dsn, port, asyncio.Lock())


@pytest.fixture(scope="session")
def line_numbers() -> Iterator[int]:
    """Numbers that no other test has."""
    return itertools.count(1)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def scenarios(
    services: Services, tmp_path_factory: pytest.TempPathFactory, line_numbers: Iterator[int]
) -> AsyncIterator[Begin]:
    """Begins scenarios side by side, so many at once, each on a line of its own; none outlives the session."""
    tasks: list[Task] = []

    async def one(scenario: Scenario, lanes: asyncio.Semaphore) -> None:
        place = tmp_path_factory.mktemp(scenario.__name__)
        async with lanes, open_line(f"faults-{next(line_numbers)}", place, services, DEFINITION) as opened:
            await scenario(opened)

    def begin(wanted: Iterable[Scenario], lanes: int) -> dict[str, Task]:
        free = asyncio.Semaphore(lanes)
        begun = {scenario.__name__: asyncio.create_task(one(scenario, free)) for scenario in wanted}
        tasks.extend(begun.values())
        return begun

    yield begin
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def begun(request: pytest.FixtureRequest, scenarios: Begin) -> dict[str, Task]:
    """The scenarios that mostly wait, under way; none where their tests were not asked for."""
    wanted = {item.path.name for item in request.session.items} >= {"test_waiting.py"}
    return scenarios(BEGUN if wanted else (), len(BEGUN))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def beside(request: pytest.FixtureRequest, scenarios: Begin) -> dict[str, Task]:
    """Those of dead letters and commands whose tests were asked for, under way from the first of these on."""
    wanted = {item.name for item in request.session.items}
    return scenarios((one for one in BESIDE if f"test_{one.__name__}" in wanted), LANES)


@pytest_asyncio.fixture(loop_scope="session")
async def line(services: Services, tmp_path: Path, line_numbers: Iterator[int], begun: object) -> AsyncIterator[Line]:
    """Queues, prefixes, the loan events' definition under another name, and its table."""
    async with open_line(f"faults-{next(line_numbers)}", tmp_path, services, DEFINITION) as opened:
        yield opened
