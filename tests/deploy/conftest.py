"""From other tests: an engine and our image; the fault scenarios' services, for one run whose calls are looked at."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.containers.conftest import engine, image
from tests.faults.conftest import DEFINITION, services
from tests.faults.line import Line, Services, open_line

__all__ = ["engine", "image", "services"]


@pytest_asyncio.fixture(loop_scope="session")
async def line(services: Services, tmp_path: Path) -> AsyncIterator[Line]:
    """Queues, prefixes, a dataset and its table."""
    async with open_line("deploy-1", tmp_path, services, DEFINITION) as opened:
        yield opened
