"""The loader dies at every step of its work, and its next life gets the same messages again."""

import pytest

from tests.loader.account import Account
from tests.loader.files import CODES, TODAY, Batch, Event, Fault, notice
from tests.loader.lives import deaths
from tests.loader.world import World

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(120)]


async def _sent(world: World, fault: Fault | None) -> Account:
    """Two batches with a record in common; three files, one of them bad where a fault is given."""
    await world.empty()
    account = Account()
    for numbers, faults in (((1, 2), {}), ((2, 4), {} if fault is None else {Event(4).partition: fault})):
        batch = Batch(world.dataset.name, next(world.stack.numbers))
        events = [Event(number) for number in numbers]
        files = await world.stack.lake.refined(batch, events, TODAY, faults)
        account.add(batch, TODAY, files, events, faults)
        account.notices.append(notice(batch, files))
    world.send(*account.notices)
    return account


async def _steps_of_a_calm_life(world: World, fault: Fault | None) -> list[str]:
    account = await _sent(world, fault)
    life = await world.live()
    await account.check(world)
    assert any(step.startswith("COPY") for step in life.steps)
    return life.steps


async def test_a_death_at_any_step_loses_nothing_doubles_nothing_and_blames_nobody(world: World) -> None:
    for life in deaths(await _steps_of_a_calm_life(world, None)):
        account = await _sent(world, None)
        await world.live(life)
        assert life.died.is_set(), life
        await world.live()
        await account.check(world)
        assert not len(world.dead), life


async def test_a_death_at_any_commit_of_the_search_for_a_bad_file_blames_that_file_alone(world: World) -> None:
    steps = await _steps_of_a_calm_life(world, "null")
    for life in deaths(steps, names=("COMMIT", "load")):
        account = await _sent(world, "null")
        await world.live(life)
        assert life.died.is_set(), life
        await world.live()
        await account.check(world)
        assert [letter["code"] for letter in world.letters()] == [CODES["null"]]
