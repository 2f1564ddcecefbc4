"""Emulated AWS and the warehouse once for all scenarios; queues, prefixes, a dataset and a proxy for each."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from service.local.emulator import emulated_aws
from service.local.ports import free_port
from service.local.postgres import postgres
from service.local.provision import create_zones, open_aws
from service.local.redshift.server import redshift_standin
from service.local.stack import ZONES
from tests.faults.line import Line, Services, open_line
from tests.faults.waiting import extensions_fail, objects_stall, sleeper
from tests.stack.conftest import PROJECT

DEFINITION = PROJECT / "datasets" / "loan_events.toml"
LONGER = "faults_all"


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
async def begun(
    request: pytest.FixtureRequest,
    services: Services,
    tmp_path_factory: pytest.TempPathFactory,
    line_numbers: Iterator[int],
) -> AsyncIterator[dict[str, asyncio.Task[None]]]:
    """The scenarios that mostly wait, under way; none where their tests were not asked for."""
    wanted = {item.path.name for item in request.session.items} >= {"test_waiting.py"}

    async def one(scenario: Callable[[Line], Awaitable[None]], place: Path) -> None:
        async with open_line(f"faults-{next(line_numbers)}", place, services, DEFINITION) as opened:
            await scenario(opened)

    tasks = {
        scenario.__name__: asyncio.create_task(one(scenario, tmp_path_factory.mktemp(scenario.__name__)))
        for scenario in (extensions_fail, objects_stall, sleeper)
        if wanted
    }
    yield tasks
    for task in tasks.values():
        task.cancel()
    await asyncio.gather(*tasks.values(), return_exceptions=True)


@pytest_asyncio.fixture(loop_scope="session")
async def line(services: Services, tmp_path: Path, line_numbers: Iterator[int], begun: object) -> AsyncIterator[Line]:
    """Queues, prefixes, the loan events' definition under another name, and its table."""
    async with open_line(f"faults-{next(line_numbers)}", tmp_path, services, DEFINITION) as opened:
        yield opened
