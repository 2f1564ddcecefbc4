"""The stack of this directory, started once."""

from collections.abc import AsyncIterator, Mapping

import pytest
import pytest_asyncio

from service.core.datasets import Dataset
from service.core.definitions import load_datasets
from tests.loader.files import DEFINITION
from tests.loader.world import Stack, World, opened_stack


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """Emulated AWS, the warehouse and two stand-ins before it."""
    async with opened_stack(tmp_path_factory.mktemp("loader")) as opened:
        yield opened


@pytest.fixture(scope="session")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Dataset]:
    """Two that have the same columns: in one the first delivery of a record stays, in the other the highest version."""
    directory = tmp_path_factory.mktemp("datasets")
    (directory / "events.toml").write_text(DEFINITION)
    (directory / "versions.toml").write_text('on_duplicate = "replace"\nversion = "revision"\n' + DEFINITION)
    return load_datasets(directory)


@pytest_asyncio.fixture(loop_scope="session")
async def world(stack: Stack, datasets: Mapping[str, Dataset]) -> World:
    """Empty tables and queues. The first delivery of a record stays."""
    return await World.new(stack, datasets["events"])


@pytest_asyncio.fixture(loop_scope="session")
async def versions(stack: Stack, datasets: Mapping[str, Dataset]) -> World:
    """The same, but the highest version of a record stays."""
    return await World.new(stack, datasets["versions"])
