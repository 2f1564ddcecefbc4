"""COMMITs whose answers are lost, warehouses that are away or hang, transactions in each other's way."""

from collections.abc import Callable

import pytest

from service.core.events import GroupLoaded, LayerPaused, LayerResumed
from tests.loader.account import Account
from tests.loader.files import TODAY, Batch, Event, notice
from tests.loader.lives import Life, Wire
from tests.loader.world import HASTY, World, told

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(60)]

LOST: dict[str, tuple[Callable[[Wire], None], int]] = {
    "drop_before_commit": (Wire.drop_before_commit, 0),
    "drop_after_commit": (Wire.drop_after_commit, 2),
    "delay_commit": (lambda wire: wire.delay_commit(until="load_ledger"), 2),
    "violate": (lambda wire: wire.violate("COMMIT"), 0),
}
"""What becomes of the load's COMMIT, and how many files the next try finds loaded."""
STATEMENTS = (
    "LOCK",
    "FROM .acequia",
    "CREATE TEMP TABLE",
    "COPY",
    "pg_last_copy_count",
    "INSERT INTO .lake",
    "DROP TABLE",
)


async def _sent(world: World, *numbers: int) -> Account:
    """One file a number, each in a batch and a notice of its own."""
    account = Account()
    for number in numbers:
        batch, events = Batch(world.dataset.name, next(world.stack.numbers)), [Event(number)]
        files = await world.stack.lake.refined(batch, events)
        account.add(batch, TODAY, files, events, {})
        account.notices.append(notice(batch, files))
    world.send(*account.notices)
    return account


@pytest.mark.parametrize("fault", LOST)
async def test_a_commit_whose_answer_is_lost_loads_once(world: World, fault: str) -> None:
    account = await _sent(world, 1, 2)
    wire = world.stack.seats[0].wire
    arm, known = LOST[fault]
    before = wire.fired[fault]
    wire.at_load(lambda: arm(wire))
    life = await world.live()
    assert wire.fired[fault] == before + 1
    await account.check(world)
    assert not len(world.dead)
    assert [(e.files, e.known_files) for e in life.events if isinstance(e, GroupLoaded)] == [(2 - known, known)]


async def test_a_commit_that_outlives_its_loader_is_waited_for_at_the_ledger(world: World) -> None:
    await _sent(world, 1, 2)
    calm = (await world.live()).steps
    await world.empty()
    account = await _sent(world, 1, 2)
    wire = world.stack.seats[0].wire
    wire.at_load(lambda: wire.delay_commit(until="LOCK"))
    died = await world.live(Life(len(calm) - calm[::-1].index("COMMIT")))
    assert died.died.is_set()
    assert not told(died, GroupLoaded)
    life = await world.live()
    await account.check(world)
    assert not len(world.dead)
    assert [(e.files, e.known_files) for e in life.events if isinstance(e, GroupLoaded)] == [(0, 2)]


@pytest.mark.parametrize("statement", STATEMENTS)
async def test_transactions_in_each_others_way_try_again(world: World, statement: str) -> None:
    account = await _sent(world, 1)
    wire = world.stack.seats[0].wire
    before = wire.fired["violate"]
    wire.violate(statement, times=3)
    life = await world.live()
    assert wire.fired["violate"] == before + 3
    await account.check(world)
    assert not len(world.dead)
    assert told(life, GroupLoaded)


async def test_logins_that_are_refused_pause_the_layer_and_reject_nothing(world: World) -> None:
    account = await _sent(world, 1)
    world.stack.seats[0].wire.refuse_logins(times=5)
    life = await world.live()
    await account.check(world)
    assert not len(world.dead)
    assert [type(e) for e in told(life, LayerPaused, LayerResumed)] == [LayerPaused, LayerResumed]


@pytest.mark.parametrize("statement", ["LOCK", "COPY", "COMMIT"])
async def test_a_warehouse_that_hangs_is_left_and_asked_again(world: World, statement: str) -> None:
    account = await _sent(world, 1)
    wire = world.stack.seats[0].wire
    if statement == "COMMIT":
        wire.at_load(lambda: wire.hang(statement))
    else:
        wire.hang(statement)
    await world.live(limits=HASTY)
    assert wire.fired["hang"]
    await account.check(world)
    assert not len(world.dead)


async def test_s3_that_refuses_copy_the_reading_is_nobodys_bad_file(world: World) -> None:
    account = await _sent(world, 1, 2)
    world.stack.seats[0].wire.fail_copy(account.notices[0].files[0].uri, times=3)
    await world.live()
    await account.check(world)
    assert not len(world.dead)
