"""Messages that failed and are sent back with a mark: each record ends once in the warehouse, as the same record."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from service.core.dead_letter import Letter, read_letter
from service.core.definitions import load_datasets
from service.core.marks import LandedMarks, Mark, origin_of
from service.core.model import Attribute, Outgoing
from service.core.send_back import send_back
from tests.fakes.journal import Crash, Journal
from tests.fakes.time import run_virtual
from tests.fakes.world import DEFINITION, World, crashes, event, live

BY_MESSAGE = DEFINITION.replace('key = ["event_id"]', 'identity = "message"')


def letters(world: World) -> list[Letter]:
    """What waits behind the records queue."""
    found = [read_letter(body) for body in world.queues["records-dlq"].bodies]
    assert None not in found
    return [letter for letter in found if letter is not None]


def back(letter: Letter, dataset: str | None = "events", round_id: str = "r1") -> Outgoing:
    """As it is sent back; the producer's mistake, if it named no dataset, is mended by hand."""
    assert letter.original is not None
    mark = Mark(letter.error_id, origin_of(letter.original), letter.attempts, round_id, letter.first_failed_at)
    sent = send_back(letter.original, mark)
    told = {} if dataset is None else {"dataset": Attribute("String", dataset)}
    return replace(sent, attributes={**told, **sent.attributes})


def record_ids(world: World) -> list[str]:
    return sorted(row["_record_id"] for row in world.rows())


def marks(world: World) -> list[LandedMarks]:
    found = sorted(uri for uri in world.store.objects if uri.startswith("s3://errors/marks/"))
    return [LandedMarks.from_json(world.store.objects[uri]) for uri in found]


@pytest.fixture(params=[DEFINITION, BY_MESSAGE], ids=["by key", "by message"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    (tmp_path / "events.toml").write_text(request.param)
    return World(load_datasets(tmp_path))


def test_a_message_that_failed_in_land_ends_once_in_the_warehouse(either: World) -> None:
    async def main() -> None:
        either.open()
        either.send(event(1), event(2), dataset=None)
        await live(either)
        [letter] = letters(either)
        assert (letter.code, letter.attempts, either.rows()) == ("unknown_dataset", 1, [])
        either.queues["records"].put(back(letter))
        await live(either)
        either.queues["records"].put(back(letter), back(letter, round_id="r2"))
        await live(either)

    run_virtual(main())
    assert either.event_ids() == ["e001", "e002"]
    assert [landed.marks[0].round_id for landed in marks(either)] == ["r1", "r1"]
    assert {landed.raw_file for landed in marks(either)} == {
        uri for uri in either.store.objects if uri.startswith("s3://raw/")
    }


def test_its_records_are_those_of_the_message_as_it_first_came(tmp_path: Path) -> None:
    (tmp_path / "events.toml").write_text(BY_MESSAGE)

    async def main(world: World, dataset: str | None) -> list[str]:
        world.open()
        world.send(event(1), event(2), dataset=dataset)
        await live(world)
        world.queues["records"].put(*map(back, letters(world)))
        await live(world)
        return record_ids(world)

    datasets = load_datasets(tmp_path)
    direct, detour = (run_virtual(main(World(datasets), dataset)) for dataset in ("events", None))
    assert direct == detour
    assert len(direct) == 2


def test_a_second_failure_is_the_same_failure_once_more(world: World) -> None:
    async def main() -> None:
        world.open()
        world.send(event(1), dataset="unheard_of")
        await live(world)
        for _ in range(3):
            world.queues["records"].put(back(letters(world)[-1]))
            await live(world)

    run_virtual(main())
    assert [letter.attempts for letter in letters(world)] == [1, 2, 3, 4]
    assert len({letter.error_id for letter in letters(world)}) == 1
    assert len({letter.first_failed_at for letter in letters(world)}) == 1
    assert len({letter.last_failed_at for letter in letters(world)}) == 4
    assert {letter.round_id for letter in letters(world)} == {"", "r1"}
    originals = [letter.original for letter in letters(world)]
    assert {original.body for original in originals if original is not None} == {json.dumps(event(1))}
    assert world.rows() == []


def test_a_message_without_room_for_a_mark_goes_wrapped_and_ends_once(either: World) -> None:
    async def main() -> None:
        either.open()
        either.queues["records"].put(
            Outgoing(
                '{"event_id":"e007","event_time":"2025-12-01T10:00:00Z"}\n{"event_id":"e008","event_time":"2025-12-01"}',
                {f"a{number}": Attribute("Binary", b"\x00\xff") for number in range(10)},
            )
        )
        await live(either)
        [letter] = letters(either)
        either.queues["records"].put(back(letter))
        await live(either)
        [wrapped] = [one for one in either.queues["records"].sent.values() if len(one.attributes) == 2]
        assert '"acequia_dead_letter":1' in wrapped.body
        either.queues["records"].put(back(letter))
        await live(either)

    run_virtual(main())
    assert either.event_ids() == ["e007"]
    assert {letter["code"] for letter in either.letters("refine")} == {"bad_time"}


def test_a_message_and_its_copy_that_was_sent_back_are_one_record(tmp_path: Path) -> None:
    """Somebody moves the letter by hand too, or a round is run twice: the first id decides."""
    (tmp_path / "events.toml").write_text(BY_MESSAGE)
    world = World(load_datasets(tmp_path))

    async def main() -> None:
        world.open()
        world.send(event(1), dataset="events")
        await live(world)
        copy = Outgoing(
            next(iter(world.queues["records"].sent.values())).body,
            {"dataset": Attribute("String", "events"), "acequia_mark": Mark("e", "records-1", 1, "r1").attribute()},
        )
        world.queues["records"].put(copy, copy)
        await live(world)

    run_virtual(main())
    assert world.event_ids() == ["e001"]
    assert sorted(world.warehouse.ledger("events").values()) == [(1, 1, 0), (2, 0, 2)]


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_crash_at_any_effect_brings_each_record_once_and_says_where_it_is(tmp_path: Path, when: str) -> None:
    (tmp_path / "events.toml").write_text(BY_MESSAGE)
    datasets = load_datasets(tmp_path)
    died = number = 0
    while died == number:
        world = World(datasets)
        died += run_virtual(_crash(world, number, when))
        assert world.event_ids() == ["e001", "e002"], f"crash {when} effect {number}"
        raw_files = {row["_raw_file"] for row in world.rows()}
        told = {mark.error_id for landed in marks(world) if landed.raw_file in raw_files for mark in landed.marks}
        assert told == {letter.error_id for letter in letters(world)}, f"crash {when} effect {number}"
        assert len(letters(world)) == 2
        number += 1
    assert died > 12


async def _crash(world: World, number: int, when: str) -> bool:
    """Die at that effect of landing, refining and loading what was sent back; whether there was such an effect."""
    world.open()
    world.send(event(1), dataset=None)
    world.send(event(2), dataset=None)
    await live(world)
    world.queues["records"].put(*map(back, letters(world)))
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
        await live(world)
    except BaseException as error:
        if not crashes(error):
            raise
    calm = Journal()
    world.journal.before, world.journal.after = calm.before, calm.after
    await live(world)
    return left < 0
