"""Every suite here runs twice: on the fakes, and on the real clients against the one-machine stack."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.contract.places import FakePlace, Place, RealPlace, real_place

FAKE, REAL = "fake", pytest.param("real", marks=pytest.mark.stack)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def real(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RealPlace]:
    """The stack and the service's clients, started once."""
    async with real_place(tmp_path_factory.mktemp("contract")) as place:
        yield place


@pytest.fixture(scope="session", params=[FAKE, REAL])
def place(request: pytest.FixtureRequest) -> Place:
    """Where a contract is tried."""
    if request.param == FAKE:
        return FakePlace()
    found: RealPlace = request.getfixturevalue("real")
    return found
