"""What error rows say about a raw file."""

from collections.abc import Sequence
from datetime import timedelta

import pytest

from service.upkeep.days import Days
from service.upkeep.rejected import Rejected, Rejections, rejections
from tests.fakes.queue import EPOCH
from tests.fakes.time import run_virtual
from tests.fakes.world import World
from tests.unit.upkeep.bed import TODAY, error_row, lay_errors, naive, tools

FILE = f"s3://raw/events/dt={TODAY}/hr=00/20260101T000000000Z-0123456789abcdef.parquet"
OTHER_DAY = FILE.replace(TODAY, "2026-01-02")
OTHER_DATASET = FILE.replace("/events/", "/events_more/")
LATER = EPOCH + timedelta(hours=1)
SENT_BACK = Rejected(sent_back=1, sent_at=naive(EPOCH), mended=1)


def read(world: World, *files: Sequence[dict[str, object]], days: int = 0) -> Rejections:
    async def main() -> Rejections:
        world.open()
        for number, rows in enumerate(files):
            lay_errors(world, rows, EPOCH + timedelta(days=days, seconds=number))
        return await rejections(tools(world), "events", Days.parse(TODAY, TODAY))

    return run_virtual(main())


def test_of_a_failure_that_was_written_again_the_latest_row_counts(world: World) -> None:
    old = error_row("a", FILE, (0, 0), EPOCH)
    new = error_row("a", FILE, (0, 0), EPOCH, state="resolved", updated_at=naive(LATER))
    other = error_row("b", FILE, (1, 0), EPOCH, state="parked")
    assert read(world, [new, other], [old]).of(FILE, None) == Rejected(waiting=1, mended=1)


@pytest.mark.parametrize(
    ("states", "wanted"),
    [
        (("open",), Rejected(waiting=1)),
        (("parked",), Rejected(waiting=1)),
        (("reprocessed",), SENT_BACK),
        (("resolved",), Rejected(mended=1)),
        (("reprocessed", "open"), Rejected(waiting=1)),
        (("resolved", "reprocessed"), SENT_BACK),
        (("open", "reprocessed"), Rejected(waiting=1)),
        (("open", "open"), Rejected(waiting=1)),
    ],
)
def test_a_record_that_failed_for_several_causes_is_one_record(
    world: World, states: tuple[str, ...], wanted: Rejected
) -> None:
    rows = [error_row(f"{number}", FILE, (3, 1), EPOCH, state=state) for number, state in enumerate(states)]
    assert read(world, rows).of(FILE, None) == wanted


def test_what_was_sent_back_first_tells_since_when(world: World) -> None:
    rows = [
        error_row(name, FILE, (number, 0), EPOCH, state=state, _received_at=naive(EPOCH + timedelta(hours=hours)))
        for number, (name, state, hours) in enumerate(
            [("a", "reprocessed", 3), ("b", "reprocessed", 2), ("c", "open", 1), ("d", "resolved", 0)]
        )
    ]
    rows.append(error_row("again", FILE, (1, 0), EPOCH, state="reprocessed"))
    rows.append(error_row("of an open one", FILE, (2, 0), EPOCH, state="reprocessed"))
    assert read(world, rows).of(FILE, None) == Rejected(1, 2, sent_at=naive(EPOCH + timedelta(hours=2)), mended=3)


def test_what_failed_before_the_last_replay_counts_no_more(world: World) -> None:
    rows = [error_row("a", FILE, (0, 0), EPOCH), error_row("b", FILE, (1, 0), LATER)]
    found = read(world, rows)
    assert found.of(FILE, None) == Rejected(waiting=2)
    assert found.of(FILE, naive(LATER)) == Rejected(waiting=1)
    assert found.of(FILE, naive(LATER + timedelta(seconds=1))) == Rejected()


def test_a_file_that_was_rejected_whole_has_no_place(world: World) -> None:
    assert read(world, [error_row("a", FILE, (None, None), EPOCH)]).of(FILE, None) == Rejected(whole=True)
    assert read(world, [error_row("a", FILE, (None, None), EPOCH, state="resolved")]).of(FILE, None) == Rejected()
    sent = read(world, [error_row("a", FILE, (None, None), EPOCH, state="reprocessed")]).of(FILE, None)
    assert sent == Rejected(whole_sent_back=True, sent_at=naive(EPOCH))
    both = [error_row("a", FILE, (None, None), EPOCH, state="reprocessed"), error_row("b", FILE, (None, None), EPOCH)]
    assert read(world, both).of(FILE, None) == Rejected(whole=True)


def test_other_datasets_days_and_layers_do_not_count(world: World) -> None:
    rows = [
        error_row("a", OTHER_DAY, (0, 0), EPOCH),
        error_row("b", OTHER_DATASET, (0, 0), EPOCH),
        error_row("c", FILE, (0, 0), EPOCH, dataset="others"),
        error_row("d", FILE, (0, 0), EPOCH, layer="land"),
        error_row("e", None, (None, None), EPOCH, layer="land", dataset=None),
        error_row("f", None, (None, None), EPOCH, layer="load"),
        error_row("g", None, (None, None), EPOCH, layer="refine"),
        error_row("h", None, (None, None), EPOCH, layer="load", state="resolved"),
    ]
    found = read(world, rows)
    assert {uri: found.of(uri, None) for uri in (FILE, OTHER_DAY, OTHER_DATASET)} == dict.fromkeys(
        (FILE, OTHER_DAY, OTHER_DATASET), Rejected()
    )
    assert found.rows.num_rows == 3, "those of whole files"
    assert found.whole_files == 2


def test_failures_of_later_days_count_and_those_of_earlier_days_cannot(world: World) -> None:
    row = [error_row("a", FILE, (0, 0), EPOCH)]
    assert read(world, row, days=9).of(FILE, None) == Rejected(waiting=1)
    assert read(world, row, days=-1).of(FILE, None) == Rejected()


def test_without_errors_nothing_was_rejected(world: World) -> None:
    assert read(world).of(FILE, None) == Rejected()
