"""A mapping was mended and raw files are refined again: the table ends with the new rows, once."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from service.core.datasets import Dataset
from service.core.definitions import load_datasets
from service.core.events import GroupLoaded
from service.core.model import Outgoing
from service.core.notice import FileNotice, Replaces
from tests.fakes.journal import Crash, Journal
from tests.fakes.time import run_virtual
from tests.fakes.world import DEFINITION, World, crashes, event, live

MENDED = DEFINITION.replace('name = "amount"', 'name = "amount"\npath = "euros"')


def definition(directory: Path, text: str) -> dict[str, Dataset]:
    (directory / "events.toml").write_text(text)
    return load_datasets(directory)


async def refined(world: World) -> list[FileNotice]:
    """Refine what is there; take the notices off the load queue."""
    await live(world, lambda: not len(world.queues["refine"]), layers=("refine",))
    return [FileNotice.from_json(body) for body in world.queues["load"].take()]


async def first_load(world: World, *events: dict[str, object]) -> tuple[list[str], FileNotice]:
    """Land, refine and load under today's definition; returns the refine notices for later, and the load notice."""
    world.send(*events)
    await live(world, lambda: len(world.queues["refine"]) == 1, layers=("land",))
    raw = world.queues["refine"].bodies
    [notice] = await refined(world)
    world.queues["load"].put(Outgoing(notice.to_json()))
    await live(world)
    return raw, notice


async def replay(world: World, raw: list[str], *old: FileNotice, hours: int = 1) -> FileNotice:
    """The raw file refined under the definition of now, in the place of the old files."""
    asked = FileNotice.from_json(raw[0])
    replaces = Replaces(asked.files[0].uri, tuple(file.uri for notice in old for file in notice.files))
    moment = asked.produced_at + timedelta(hours=hours)
    world.queues["refine"].put(Outgoing(replace(asked, replaces=replaces, produced_at=moment).to_json()))
    [notice] = await refined(world)
    return notice


async def load(world: World, *notices: FileNotice) -> None:
    for notice in notices:
        world.queues["load"].put(Outgoing(notice.to_json()))
    await live(world)


def refined_files(world: World) -> list[str]:
    return sorted(uri for uri in world.store.objects if uri.startswith("s3://refined/events/"))


def amounts(world: World) -> list[tuple[str, int | None]]:
    return sorted((row["event_id"], row["amount"]) for row in world.rows())


NEW = "one of its own files"
EVENTS = (event(1, amount=1, euros=10), event(2, day=2, amount=2, euros=20))


def test_the_table_ends_with_the_new_rows_and_the_lake_with_the_new_files(world: World, tmp_path: Path) -> None:
    async def main() -> None:
        world.open()
        raw, old = await first_load(world, *EVENTS)
        assert amounts(world) == [("e001", 1), ("e002", 2)]
        world.datasets = definition(tmp_path, MENDED)
        new = await replay(world, raw, old)
        await load(world, new)
        assert amounts(world) == [("e001", 10), ("e002", 20)]
        assert refined_files(world) == sorted(file.uri for file in new.files)
        entries = world.warehouse.entries("events")
        assert {uri: entry[11] is not None for uri, entry in entries.items()} == {
            **{file.uri: True for file in old.files},
            **{file.uri: False for file in new.files},
        }
        assert [entries[file.uri][2:6] for file in new.files] == [(1, 0, 0, 1)] * 2, "rows that took others' place"

    run_virtual(main())
    assert [e.replaced for e in world.events if isinstance(e, GroupLoaded)] == [0, 2]
    assert not world.letters("load")


def test_a_late_copy_of_any_notice_changes_nothing(world: World, tmp_path: Path) -> None:
    async def main() -> None:
        world.open()
        raw, old = await first_load(world, *EVENTS)
        before = dict(world.datasets)
        world.datasets = definition(tmp_path, MENDED)
        mended = await replay(world, raw, old)
        await load(world, mended)
        await load(world, old, mended)
        assert amounts(world) == [("e001", 10), ("e002", 20)]
        world.datasets = before
        back = await replay(world, raw, mended, hours=2)
        await load(world, mended, back)
        await load(world, mended, old, back)
        assert amounts(world) == [("e001", 1), ("e002", 2)]
        assert refined_files(world) == sorted(file.uri for file in back.files)

    run_virtual(main())
    assert not world.letters("load"), "files that a replay has removed are nobody's bad data"


def test_two_replays_of_a_file_in_hand_at_once_end_with_the_later(world: World, tmp_path: Path) -> None:
    async def main() -> None:
        world.open()
        raw, old = await first_load(world, *EVENTS)
        world.datasets = definition(tmp_path, MENDED)
        first = await replay(world, raw, old)
        world.datasets = definition(tmp_path, DEFINITION)
        second = await replay(world, raw, old, first, hours=2)
        await load(world, second, first, old)
        assert amounts(world) == [("e001", 1), ("e002", 2)]
        assert refined_files(world) == sorted(file.uri for file in second.files)

    run_virtual(main())
    assert not world.letters("load")


def test_many_replays_share_a_copy(world: World, tmp_path: Path) -> None:
    async def main() -> None:
        world.open()
        loads = [await first_load(world, event(number, amount=1, euros=number)) for number in range(6)]
        world.datasets = definition(tmp_path, MENDED)
        world.warehouse.copies.clear()
        await load(world, *[await replay(world, raw, old) for raw, old in loads])
        assert world.warehouse.copies == [6]
        assert amounts(world) == [(f"e{number:03d}", number) for number in range(6)]

    run_virtual(main())


def test_a_replay_that_leaves_nothing_takes_the_rows_away(world: World, tmp_path: Path) -> None:
    async def main() -> None:
        world.open()
        _, old = await first_load(world, *EVENTS)
        raw_file = world.rows()[0]["_raw_file"]
        uris = tuple(file.uri for file in old.files)
        world.datasets = definition(tmp_path, MENDED)
        moment = old.produced_at + timedelta(hours=1)
        await load(world, replace(old, files=[], replaces=Replaces(raw_file, uris), produced_at=moment))
        assert amounts(world) == []
        assert refined_files(world) == []
        await load(world, old)
        assert amounts(world) == []

    run_virtual(main())
    assert not world.letters("load")


def test_rows_of_other_raw_files_stay_and_a_record_of_theirs_stays_theirs(world: World, tmp_path: Path) -> None:
    async def main() -> None:
        world.open()
        await first_load(world, event(1, amount=1, euros=10))
        raw, old = await first_load(world, event(1, amount=7, euros=70), event(2, amount=2, euros=20))
        world.datasets = definition(tmp_path, MENDED)
        new = await replay(world, raw, old)
        await load(world, new)
        assert amounts(world) == [("e001", 1), ("e002", 20)]
        [entry] = [world.warehouse.entries("events")[file.uri] for file in new.files]
        assert entry[2:6] == (2, 0, 1, 1)

    run_virtual(main())


@pytest.mark.parametrize(
    "spoil",
    [
        lambda r: replace(r, raw_file=r.raw_file.replace("/events/", "/others/")),
        lambda r: replace(r, raw_file=r.raw_file.replace("s3://raw", "s3://elsewhere")),
        lambda r: replace(r, raw_file=r.raw_file[:-9] + "0.parquet"),
        lambda r: replace(r, uris=("s3://refined/events/_manifests/x.manifest",)),
        lambda r: replace(r, uris=(r.uris[0].replace("events", "others"),)),
        lambda r: replace(r, uris=(r.raw_file,)),
        lambda r: replace(r, uris=(*r.uris, NEW)),
    ],
)
def test_a_replay_that_names_what_is_not_its_own_removes_nothing(
    world: World, tmp_path: Path, spoil: Callable[[Replaces], Replaces]
) -> None:
    async def main() -> None:
        world.open()
        raw, old = await first_load(world, *EVENTS)
        world.datasets = definition(tmp_path, MENDED)
        new = await replay(world, raw, old)
        assert new.replaces is not None
        objects = set(world.store.objects)
        spoilt = spoil(new.replaces)
        uris = tuple(new.files[0].uri if uri == NEW else uri for uri in spoilt.uris)
        await load(world, replace(new, replaces=replace(spoilt, uris=uris)))
        assert set(world.store.objects) >= objects
        assert amounts(world) == [("e001", 1), ("e002", 2)]

    run_virtual(main())
    assert [letter["code"] for letter in world.letters("load")] == ["bad_notice"]


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_crash_at_any_effect_of_a_replay_ends_with_the_new_rows(world: World, tmp_path: Path, when: str) -> None:
    died = 0
    number = 0
    while died == number:
        fresh = World(definition(tmp_path, DEFINITION))
        died += run_virtual(_crash(fresh, number, when, tmp_path))
        assert amounts(fresh) == [("e001", 10), ("e002", 20)], f"crash {when} effect {number}"
        assert len(refined_files(fresh)) == 2
        assert not fresh.letters("load")
        number += 1
    assert died > 18


async def _crash(world: World, number: int, when: str, directory: Path) -> bool:
    """Die at that effect of loading the replay, then live again; whether there was such an effect."""
    world.open()
    raw, old = await first_load(world, *EVENTS)
    world.datasets = definition(directory, MENDED)
    new = await replay(world, raw, old)
    world.queues["load"].put(Outgoing(new.to_json()))
    left = number

    def die(effect: str) -> None:
        nonlocal left
        left -= not effect.endswith("receive")
        if left < 0:
            raise Crash(effect)

    def stay_dead(effect: str) -> None:
        if left < 0:
            raise Crash(effect)

    world.journal.before, world.journal.after = (die, lambda _: None) if when == "before" else (stay_dead, die)
    try:
        await live(world, layers=("load",))
    except BaseException as error:
        if not crashes(error):
            raise
    calm = Journal()
    world.journal.before, world.journal.after = calm.before, calm.after
    await live(world)
    return left < 0


def test_a_replay_that_is_refined_again_writes_the_same_files(world: World, tmp_path: Path) -> None:
    async def main() -> None:
        world.open()
        raw, old = await first_load(world, *EVENTS)
        first, again = await replay(world, raw, old), await replay(world, raw, old)
        other = await replay(world, raw, old, hours=2)
        assert again == first
        assert {file.uri for file in first.files}.isdisjoint(file.uri for file in (*old.files, *other.files))

    run_virtual(main())


def test_a_replay_on_the_refine_queue_is_of_one_raw_file(world: World) -> None:
    async def main() -> None:
        world.open()
        raw, old = await first_load(world, *EVENTS)
        asked = FileNotice.from_json(raw[0])
        wrong = replace(asked, replaces=Replaces(asked.files[0].uri[:-9] + "0.parquet", ()))
        world.queues["refine"].put(Outgoing(wrong.to_json()))
        await live(world)
        assert refined_files(world) == sorted(file.uri for file in old.files)

    run_virtual(main())
    assert [letter["code"] for letter in world.letters("refine")] == ["bad_notice"]
