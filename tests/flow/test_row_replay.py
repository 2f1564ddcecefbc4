"""Records that refine rejected are sent back after the definition was mended: exactly these, each once."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from service.core.datasets import Dataset
from service.core.dead_letter import Letter, read_letter
from service.core.definitions import load_datasets
from service.core.events import DatasetPaused
from service.core.model import Outgoing
from service.core.notice import FileNotice, Replaces, rows_to_replay
from tests.fakes.journal import Crash, Journal
from tests.fakes.time import run_virtual
from tests.fakes.world import DEFINITION, World, crashes, event, live

MENDED = DEFINITION.replace("event_time_oldest = 2020-01-01", "event_time_oldest = 2010-01-01")
BY_MESSAGE = 'identity = "message"'
OLD = "2015-01-01T10:00:00Z"
EVENTS = (
    event(1, event_time=OLD),
    event(2),
    event(3, event_time="2015-01-02T10:00:00Z"),
    event(4, event_time="2005-01-01T10:00:00Z"),
)
"""The second alone passes at first, the fourth not even under the mended definition."""


def definition(directory: Path, text: str) -> dict[str, Dataset]:
    (directory / "events.toml").write_text(text)
    return load_datasets(directory)


def letters(world: World) -> list[Letter]:
    return [letter for body in world.queues["refine-dlq"].bodies if (letter := read_letter(body)) is not None]


async def first_load(world: World, *events: dict[str, object]) -> FileNotice:
    """Land, refine and load; returns what land said about the raw file."""
    world.send(*events)
    await live(world, lambda: len(world.queues["refine"]) == 1, layers=("land",))
    [body] = world.queues["refine"].bodies
    await live(world)
    return FileNotice.from_json(body)


def rows_notice(raw: FileNotice, letter: Letter, *places: tuple[int, int], hours: int = 1) -> FileNotice:
    """These places of the raw file, sent back so many hours after it was landed."""
    return replace(
        raw,
        rows=rows_to_replay(letter.code, letter.column, places or letter.places),
        attempt=letter.attempts,
        round_id="r1",
        produced_at=raw.produced_at + timedelta(hours=hours),
    )


def file_notice(raw: FileNotice, old: Sequence[str], *, hours: int) -> FileNotice:
    """The whole raw file, so many hours after it was landed."""
    replaces = Replaces(raw.files[0].uri, tuple(old))
    return replace(raw, replaces=replaces, produced_at=raw.produced_at + timedelta(hours=hours))


async def refined(world: World, notice: FileNotice) -> list[FileNotice]:
    """What refine makes of the notice, taken off the load queue."""
    world.queues["refine"].put(Outgoing(notice.to_json()))
    await live(world, lambda: not len(world.queues["refine"]), layers=("refine",))
    return [FileNotice.from_json(body) for body in world.queues["load"].take()]


async def load(world: World, *notices: FileNotice) -> None:
    for notice in notices:
        world.queues["load"].put(Outgoing(notice.to_json()))
        await live(world)


async def send(world: World, notice: FileNotice) -> None:
    world.queues["refine"].put(Outgoing(notice.to_json()))
    await live(world)


def refined_files(world: World) -> list[str]:
    return sorted(uri for uri in world.store.objects if uri.startswith("s3://refined/events/"))


def mend(world: World, directory: Path, text: str = MENDED) -> None:
    world.datasets = definition(directory, text)


@pytest.mark.parametrize("identity", ['key = ["event_id"]', BY_MESSAGE])
def test_exactly_the_chosen_rows_come_and_once(tmp_path: Path, identity: str) -> None:
    first, mended = (text.replace('key = ["event_id"]', identity) for text in (DEFINITION, MENDED))
    world = World(definition(tmp_path, first))

    async def main() -> None:
        world.open()
        raw = await first_load(world, *EVENTS)
        [letter] = letters(world)
        assert (letter.code, letter.places, letter.attempts) == ("bad_time", [(0, 0), (0, 2), (0, 3)], 1)
        mend(world, tmp_path, mended)
        notice = rows_notice(raw, letter, (0, 0), (0, 2))
        await send(world, notice)
        assert world.event_ids() == ["e001", "e002", "e003"]
        await send(world, notice)
        await send(world, rows_notice(raw, letter, (0, 0), (0, 2), hours=2))
        assert world.event_ids() == ["e001", "e002", "e003"]

    run_virtual(main())
    assert len(letters(world)) == 1
    assert not world.letters("load")
    assert sorted(world.warehouse.ledger("events").values()) == [(1, 0, 1)] * 2 + [(1, 1, 0)] * 3


def test_notices_of_one_moment_about_one_file_do_not_meet(world: World, tmp_path: Path) -> None:
    async def main() -> None:
        world.open()
        raw = await first_load(world, *EVENTS, event(5, event_time=OLD))
        [letter] = letters(world)
        mend(world, tmp_path)
        for place in letter.places:
            world.queues["refine"].put(Outgoing(rows_notice(raw, letter, place).to_json()))
        await live(world)

    run_virtual(main())
    assert world.event_ids() == ["e001", "e002", "e003", "e005"]


def test_it_counts_from_the_moment_at_which_it_was_asked_for(world: World, tmp_path: Path) -> None:
    """Against a replay of the whole file: which one was asked for later must not hang on who was refined later."""

    async def main() -> None:
        world.open()
        raw = await first_load(world, *EVENTS)
        mend(world, tmp_path)
        asked = rows_notice(raw, letters(world)[0], (0, 0), (0, 2))
        told = await refined(world, asked)
        assert {notice.produced_at for notice in told} == {asked.produced_at}
        assert [(notice.rows, notice.replaces) for notice in told] == [((), None)]

    run_virtual(main())


def test_what_fails_again_has_a_letter_with_one_attempt_more_and_the_round(world: World) -> None:
    async def main() -> None:
        world.open()
        raw = await first_load(world, *EVENTS)
        for _ in range(2):
            await send(world, rows_notice(raw, letters(world)[-1], (0, 2)))

    run_virtual(main())
    assert [(one.attempts, one.round_id, one.places) for one in letters(world)] == [
        (1, "", [(0, 0), (0, 2), (0, 3)]),
        (2, "r1", [(0, 2)]),
        (3, "r1", [(0, 2)]),
    ]
    assert letters(world)[1].error_id == letters(world)[2].error_id
    assert world.event_ids() == ["e002"]


def test_a_message_whose_body_had_not_opened_comes_whole(world: World) -> None:
    async def main() -> None:
        world.open()
        raw = await first_load(world, *EVENTS)
        unopened = replace(letters(world)[0], code="too_large", column=None)
        notice = rows_notice(raw, unopened, (0, 0))
        await send(world, notice)

    run_virtual(main())
    assert [one.places for one in letters(world)] == [[(0, 0), (0, 2), (0, 3)]] * 2
    assert world.event_ids() == ["e002"]


def test_records_that_fail_again_do_not_make_their_dataset_pause(world: World) -> None:
    async def main() -> None:
        world.open()
        raw = await first_load(world, *EVENTS)
        world.queues["refine"].put(
            *(Outgoing(rows_notice(raw, letters(world)[0], hours=hours).to_json()) for hours in range(1, 9))
        )
        await live(world, refine_rejected_max=1, rejected_share_max=0.01)

    run_virtual(main())
    assert not [one for one in world.events if isinstance(one, DatasetPaused)]
    assert len(letters(world)) == 9


def test_a_place_that_the_file_does_not_have_is_a_bad_notice(world: World) -> None:
    async def main() -> None:
        world.open()
        raw = await first_load(world, *EVENTS)
        await send(world, rows_notice(raw, letters(world)[0], (0, 0), (7, 0)))

    run_virtual(main())
    assert [letter.code for letter in letters(world)] == ["bad_time", "bad_notice"]
    assert world.event_ids() == ["e002"]


def test_a_file_that_was_replayed_whole_before_keeps_the_rows_of_that(world: World, tmp_path: Path) -> None:
    async def main() -> None:
        world.open()
        raw = await first_load(world, *EVENTS)
        [letter] = letters(world)
        mend(world, tmp_path)
        await send(world, file_notice(raw, refined_files(world), hours=1))
        whole = world.event_ids()
        assert whole == ["e001", "e002", "e003"]
        await send(world, rows_notice(raw, letter, hours=2))
        assert world.event_ids() == whole

    run_virtual(main())
    assert not world.letters("load")


@pytest.mark.parametrize("named", [True, False], ids=["named", "not named"])
def test_a_file_that_is_replayed_whole_afterwards_has_the_rows_of_that_alone(
    world: World, tmp_path: Path, *, named: bool
) -> None:
    async def main() -> None:
        world.open()
        raw = await first_load(world, *EVENTS)
        [letter] = letters(world)
        first = refined_files(world)
        mend(world, tmp_path)
        await send(world, rows_notice(raw, letter, (0, 0), hours=1))
        mend(world, tmp_path, DEFINITION)
        old = refined_files(world) if named else first
        [new] = await refined(world, file_notice(raw, old, hours=2))
        await load(world, new, new)
        assert world.event_ids() == ["e002"]
        assert refined_files(world) == sorted(file.uri for file in new.files)

    run_virtual(main())
    assert not world.letters("load")


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_crash_at_any_effect_brings_the_rows_once(world: World, tmp_path: Path, when: str) -> None:
    died = number = 0
    while died == number:
        fresh = World(definition(tmp_path, DEFINITION))
        died += run_virtual(_crash(fresh, number, when, tmp_path))
        assert fresh.event_ids() == ["e001", "e002", "e003"], f"crash {when} effect {number}"
        assert {letter.attempts for letter in letters(fresh)} == {1, 2}
        assert len({letter.error_id for letter in letters(fresh)}) == 2
        assert not fresh.letters("load")
        number += 1
    assert died > 20


async def _crash(world: World, number: int, when: str, directory: Path) -> bool:
    """Die at that effect of a replay of rows, of which one fails again; whether there was such an effect."""
    world.open()
    raw = await first_load(world, *EVENTS)
    mend(world, directory)
    chosen = rows_notice(raw, letters(world)[0], (0, 0), (0, 2), (0, 3))
    world.queues["refine"].put(Outgoing(chosen.to_json()))
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


@pytest.mark.parametrize("named", [True, False], ids=["named", "not named"])
@pytest.mark.parametrize("good", [True, False], ids=["some were good", "none was good"])
def test_rows_that_come_late_do_not_bring_an_old_definition_back(
    world: World, tmp_path: Path, *, named: bool, good: bool
) -> None:
    async def main() -> None:
        world.open()
        raw = await first_load(world, *(EVENTS if good else EVENTS[:1]))
        [letter] = letters(world)
        first = refined_files(world)
        mend(world, tmp_path)
        [late] = await refined(world, rows_notice(raw, letter, (0, 0), hours=1))
        mend(world, tmp_path, DEFINITION)
        new = await refined(world, file_notice(raw, refined_files(world) if named else first, hours=2))
        await load(world, *new, late, late)
        assert world.event_ids() == ["e002"] * good
        assert refined_files(world) == sorted(file.uri for notice in new for file in notice.files)

    run_virtual(main())
    assert not world.letters("load")


@pytest.mark.parametrize("turned", [False, True], ids=["rows first", "replay first"])
@pytest.mark.parametrize(("hours", "found"), [(1, ["e002"]), (3, ["e001", "e002"])], ids=["older", "younger"])
def test_rows_in_hand_together_with_a_replay_of_their_file(
    world: World, tmp_path: Path, *, turned: bool, hours: int, found: list[str]
) -> None:
    """Asked for before it they give way to it; asked for after it they stay, and it says that it must be run again."""

    async def main() -> None:
        world.open()
        raw = await first_load(world, *EVENTS)
        [letter] = letters(world)
        first = refined_files(world)
        mend(world, tmp_path)
        some = await refined(world, rows_notice(raw, letter, (0, 0), hours=hours))
        mend(world, tmp_path, DEFINITION)
        both = [*some, *await refined(world, file_notice(raw, first, hours=2))]
        world.queues["load"].put(*(Outgoing(one.to_json()) for one in (both[::-1] if turned else both)))
        await live(world)

    run_virtual(main())
    assert world.event_ids() == found
    assert [letter["code"] for letter in world.letters("load")] == ["load_refused"] * (hours == 3)
