"""Random notices, deaths and mishaps: each record is in the table once, and only bad files are in dead letters."""

import pytest
from hypothesis import given, settings

from tests.loader.cases import REPEATABLE, Case, cases, run
from tests.loader.world import World

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(600)]


@settings(REPEATABLE, max_examples=15)
@given(case=cases(bad=False))
async def test_deaths_lost_replies_and_outages_lose_nothing_double_nothing_and_blame_nobody(
    world: World, case: Case
) -> None:
    await run(case, world)
    assert not len(world.dead)


@settings(REPEATABLE, max_examples=15)
@given(case=cases(bad=True))
async def test_bad_files_are_in_dead_letters_and_everything_else_is_in_the_table(world: World, case: Case) -> None:
    await run(case, world)


@settings(REPEATABLE, max_examples=10)
@given(case=cases(bad=False))
async def test_the_highest_version_of_a_record_stays_whatever_happens(versions: World, case: Case) -> None:
    await run(case, versions)
    assert not len(versions.dead)
