"""A batch whose originals are large is stored in portions, and is one batch all the same."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from service.core.errors import TransientError
from service.core.model import Message
from service.core.notice import FileNotice
from service.quarantine import portions
from service.quarantine.arrivals import Arrivals, Failure
from service.quarantine.portions import grouped
from tests.fakes.journal import Away, Crash
from tests.fakes.time import run_virtual
from tests.unit.quarantine.bench import (
    ERRORS_ZONE,
    RAW,
    RAW_FILE,
    SEALED,
    Bench,
    about_message,
    about_records,
    batch_of,
    dead,
    raw_file,
    sound,
)

Make = Callable[..., Bench]
RECORD = '{"id":"1","loan":{"amount":"x"}}'
FILES = 3
PUTS = ["put errors originals/dt=2024-03-04", "put errors errors/dt=2024-03-04"] * (FILES + 1)
EFFECTS = [*PUTS, "load send 4", *["replace errors fingerprints"] * 2, "reprocess send 4"]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every raw file is a portion."""
    monkeypatch.setattr(portions, "PORTION_BYTES", 1)


def uris() -> list[str]:
    return [RAW_FILE.replace("abcdef", f"abcde{number}") for number in range(FILES)]


def letters() -> list[Message]:
    """About one record of each raw file, and about a message that failed whole."""
    about = [about_records((0, 0), message_id=f"d{n}", uri=uri) for n, uri in enumerate(uris())]
    return [*about, about_message(dead("other", "m6"), message_id="d9")]


def filled(made: Bench) -> Bench:
    made.store.objects |= {uri: raw_file(RECORD) for uri in uris()}
    return made


def told_of(made: Bench) -> list[FileNotice]:
    return [FileNotice.from_json(body) for body in made.load_queue.bodies]


def test_each_portion_has_files_and_a_notice_of_its_own_and_all_are_counted_and_sent_together(bench: Make) -> None:
    async def main() -> Bench:
        made = filled(bench())
        await made.take(*letters())
        return made

    made = run_virtual(main())
    assert made.journal.effects == EFFECTS
    rows = made.rows()
    assert len({row["original_uri"] for row in rows}) == len({row["_raw_file"] for row in rows}) == len(rows) == 4
    assert made.originals().keys() == {row["error_id"] for row in rows}
    assert all(notice.files[0].uri.count(notice.batch_id) == 1 for notice in told_of(made))
    assert batch_of(*letters()).batch_id in {notice.batch_id for notice in told_of(made)}
    assert made.counted() == {"bad_type": FILES, "unknown_dataset": 1}
    [done] = made.told
    assert (done.letters, done.records) == (4, 4)


def test_what_is_small_stays_together(bench: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portions, "PORTION_BYTES", 1_000_000)

    async def main() -> Bench:
        made = filled(bench())
        await made.take(*letters())
        return made

    made = run_virtual(main())
    assert made.journal.effects == [*PUTS[:2], "load send 1", *EFFECTS[-3:]]
    assert len(made.rows()) == 4


@pytest.mark.parametrize("again", ["the same batch", "another batch"])
@pytest.mark.parametrize("at", range(len(EFFECTS)))
def test_it_dies_after_any_effect_and_nothing_is_lost_or_counted_twice(bench: Make, at: int, again: str) -> None:
    async def main() -> Bench:
        made = filled(bench())
        effects = 0

        def die(effect: str) -> None:
            nonlocal effects
            effects += not effect.startswith(("get", "read"))
            if effects == at + 1 and not effect.startswith(("get", "read")):
                raise Crash

        made.journal.after = die
        with pytest.raises(Crash):
            await made.take(*letters())
        made.journal.after = lambda _: None
        await asyncio.sleep(60)
        await made.take(*letters(), sealed_at=SEALED if again == "the same batch" else SEALED + timedelta(minutes=9))
        return made

    made = run_virtual(main())
    assert len(made.table()) == 4
    assert made.originals().keys() == made.table().keys()
    assert made.counted() == {"bad_type": FILES, "unknown_dataset": 1}
    assert len(set(made.reprocess_queue.bodies)) == 4
    if again == "the same batch":
        assert len([uri for uri in made.store.objects if "errors/dt=" in uri]) == 4


def test_what_is_stored_is_not_made_again_when_the_store_is_down(bench: Make) -> None:
    gets: list[str] = []
    away = Away("put errors originals", "s3", times=1)
    puts = 0

    def before(effect: str) -> None:
        nonlocal puts
        gets.extend([effect] if effect.startswith("get") else [])
        puts += effect.startswith("put errors originals")
        if puts == FILES:
            away(effect)

    async def main() -> Bench:
        made = filled(bench())
        made.journal.before = before
        layer, batch = made.layer(), batch_of(*letters())
        with pytest.raises(TransientError):
            await layer.handle(batch)
        await layer.handle(batch)
        return made

    made = run_virtual(main())
    assert made.journal.effects == EFFECTS
    assert len(gets) == FILES + 1, "the file of the portion that could not be stored is read again"


class Counting(list[Failure]):
    """Counts how often somebody goes through it."""

    walks = 0

    def __iter__(self) -> Iterator[Failure]:
        self.walks += 1
        return super().__iter__()


def test_failures_are_grouped_in_one_walk_however_many_raw_files_there_are() -> None:
    arrivals = Arrivals("refine", zones=(RAW, ERRORS_ZONE), datasets={}, check=sound)
    failures = Counting(arrivals.failure(letter) for letter in [*letters(), *letters()])
    groups = grouped(failures)
    assert failures.walks == 1
    assert [(raw_file, len(same)) for raw_file, same in groups] == [(None, 2), *((uri, 2) for uri in uris())]
