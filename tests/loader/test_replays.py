"""A raw file is refined again: its rows, its place in the ledger and its old files give way, whatever comes when."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from service.core.notice import File, FileNotice
from service.core.zones import refined_key
from tests.loader.account import Account
from tests.loader.files import REFINED, REPLAYS, TODAY, Batch, Event, notice, replay
from tests.loader.lives import deaths
from tests.loader.world import World

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(120)]

BACK = replace(TODAY, definition="ba" * 6)
"""Today's definition in a replay: its files have addresses of their own."""


class Raw:
    """One raw file and everything that was made of it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.account = Account()
        self.batch = Batch(world.dataset.name, next(world.stack.numbers))

    async def refined(self, *numbers: int) -> FileNotice:
        """For the first time."""
        events = [Event(number) for number in numbers]
        files = await self._world.stack.lake.refined(self.batch, events)
        self.account.add(self.batch, TODAY, files, events)
        return self._noted(notice(self.batch, files))

    async def replayed(self, number: int, *numbers: int, unaware: Sequence[File] = ()) -> FileNotice:
        """Under another definition, by somebody who may be unaware of some of the files that there are."""
        how, unknown = REPLAYS[number - 1], {file.uri for file in unaware}
        old = [uri for uri in self.account.uris(self.batch) if uri not in unknown]
        events = [Event(one, mapping=number) for one in numbers]
        files = await self._world.stack.lake.refined(self.batch, events, how) if events else []
        self.account.add(self.batch, how, files, events, replay=number)
        return self._noted(replay(self.batch, files, how, old, number=number))

    def _noted(self, one: FileNotice) -> FileNotice:
        self.account.notices.append(one)
        return one


@pytest.fixture
def raw(world: World) -> Raw:
    """A raw file with nothing made of it."""
    return Raw(world)


async def test_a_replay_puts_its_rows_in_the_place_of_the_old_ones(world: World, raw: Raw) -> None:
    first, again = await raw.refined(1, 2, 3), await raw.replayed(1, 1, 2, 3)
    other = Raw(world)
    world.send(first, await other.refined(5))
    await world.live()
    world.send(again)
    await world.live()
    raw.account.made |= other.account.made
    await raw.account.check(world)
    figures = {row["uri"]: (row["inserted"], row["replaced"], row["duplicate"]) for row in await world.ledger()}
    assert [figures[file.uri] for file in again.files] == [(0, 1, 0), (0, 2, 0)]


async def test_a_replay_that_leaves_nothing_over_takes_the_rows_away(world: World, raw: Raw) -> None:
    first, again = await raw.refined(1, 2), await raw.replayed(1)
    for one in (first, again, first):
        world.send(one)
        await world.live()
    assert await world.rows() == []
    assert all(row["superseded_at"] for row in await world.ledger())
    assert not [file for file in first.files if await world.stack.lake.lies(file.uri)]
    assert not len(world.dead)


async def test_older_notices_that_come_late_or_again_change_nothing(world: World, raw: Raw) -> None:
    first, second, third = await raw.refined(1, 2), await raw.replayed(1, 1, 2), await raw.replayed(2, 1, 2)
    for one in (third, second, first, second, third):
        world.send(one)
        await world.live()
        await raw.account.check(world)
    assert not len(world.dead)


async def test_of_two_replays_that_knew_nothing_of_each_other_the_later_one_counts(world: World, raw: Raw) -> None:
    first, second = await raw.refined(1, 2), await raw.replayed(1, 1, 2)
    third = await raw.replayed(2, 1, 2, unaware=second.files)
    for one in (first, third, second):
        world.send(one)
        await world.live()
    await raw.account.check(world)
    assert not len(world.dead)


async def test_a_replay_goes_back_to_the_definition_before(world: World, raw: Raw) -> None:
    first, second = await raw.refined(1, 2), await raw.replayed(1, 1, 2)
    world.send(first, second)
    await world.live()
    restored = await world.stack.lake.refined(raw.batch, [Event(1), Event(2)], BACK)
    old = [file.uri for file in (*first.files, *second.files)]
    back = replay(raw.batch, restored, BACK, old, number=2)
    for one in (back, second, first, back):
        world.send(one)
        await world.live()
        live = {row["uri"] for row in await world.ledger() if row["superseded_at"] is None}
        assert live == {file.uri for file in restored}
        assert [row["note"][-2:] for row in await world.rows()] == [".0", ".0"]
        assert [uri for uri in (*live, *old) if await world.stack.lake.lies(uri)] == [*live]
    assert not len(world.dead)


async def test_there_and_back_before_anything_was_loaded(world: World, raw: Raw) -> None:
    first, second = await raw.refined(1, 2), await raw.replayed(1, 1, 2)
    restored = await world.stack.lake.refined(raw.batch, [Event(1), Event(2)], BACK)
    back = replay(raw.batch, restored, BACK, [file.uri for file in (*first.files, *second.files)], number=2)
    world.send(first, second, back)
    await world.live()
    assert not len(world.dead)
    assert [row["note"][-2:] for row in await world.rows()] == [".0", ".0"]


async def test_a_bad_replay_leaves_the_old_rows(world: World, raw: Raw) -> None:
    first, again = await raw.refined(1, 2), await raw.replayed(1, 1, 2)
    await world.stack.lake.remove(again.files[1].uri)
    world.send(first, again)
    await world.live()
    assert [letter["code"] for letter in world.letters()] == ["missing_object"]
    assert [row["note"][-2:] for row in await world.rows()] == [".0", ".0"]
    live = {row["uri"] for row in await world.ledger() if row["superseded_at"] is None}
    assert live == {file.uri for file in first.files}


async def test_a_record_that_a_replay_drops_comes_back_with_the_other_file_that_has_it(world: World, raw: Raw) -> None:
    """The documented limit: the load layer does not look for duplicates that it left out before."""
    first, again = await raw.refined(1, 3), await raw.replayed(1, 3)
    other = Raw(world)
    world.send(first)
    await world.live()
    world.send(await other.refined(1))
    await world.live()
    world.send(again)
    await world.live()
    assert len(await world.rows()) == 1
    world.send(await other.replayed(1, 1))
    await world.live()
    raw.account.made |= other.account.made
    await raw.account.check(world)


@pytest.mark.parametrize("foreign", ["another batch's file", "another dataset's raw file", "a raw file elsewhere"])
async def test_a_replay_may_not_name_what_was_not_made_of_its_raw_file(world: World, raw: Raw, foreign: str) -> None:
    first, other = await raw.refined(1, 2), Raw(world)
    world.send(first, await other.refined(5))
    await world.live()
    again = await raw.replayed(1, 1, 2)
    old = {
        "another batch's file": [REFINED.uri(refined_key("events", "dt=2026-03-02", other.batch.batch_id, "0" * 12))]
    }
    body = replay(raw.batch, again.files, REPLAYS[0], old.get(foreign, []), number=1).to_json()
    if foreign == "another dataset's raw file":
        body = body.replace('raw_file":"s3://loader/raw/events/', 'raw_file":"s3://loader/raw/strangers/')
    if foreign == "a raw file elsewhere":
        body = body.replace('raw_file":"s3://loader/raw/', 'raw_file":"s3://loader/refined/')
    world.send(body)
    before = await world.rows()
    await world.live()
    assert [letter["code"] for letter in world.letters()] == ["bad_notice"]
    assert await world.rows() == before


async def test_a_death_at_any_step_of_a_replay_leaves_it_whole_in_the_end(world: World) -> None:
    async def sent() -> Account:
        await world.empty()
        raw = Raw(world)
        first, again = await raw.refined(1, 2), await raw.replayed(1, 1, 2)
        world.send(first)
        await world.live()
        world.send(again)
        return raw.account

    account = await sent()
    steps = (await world.live()).steps
    await account.check(world)
    for life in deaths(steps[steps.index("put") :], begin=steps.index("put")):
        account = await sent()
        await world.live(life)
        assert life.died.is_set(), life
        await world.live()
        await account.check(world)
        assert not len(world.dead), life
