"""When rejection is taken for more than bad data."""

import itertools
from datetime import UTC, datetime

import pytest

from service.core.tolerance import PAUSES_MAX, TRIALS_MAX, TRIPPED_MAX, WINDOW_SECONDS, Tolerance, ToleranceLimits


class Hands:
    """A clock whose hands the test moves."""

    def __init__(self) -> None:
        self.at = 0.0

    def monotonic(self) -> float:
        return self.at

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.at, UTC)

    async def sleep(self, seconds: float) -> None:
        raise AssertionError(seconds)


class Watched:
    """A tolerance with what it told."""

    def __init__(self, share_max: float = 0.5) -> None:
        self.clock = Hands()
        self.numbers = itertools.count()
        self.told: list[tuple[str, str | None]] = []
        limits = ToleranceLimits(share_max=share_max, rejected_max=100, pause_seconds=300)
        self.tolerance = Tolerance(limits, clock=self.clock, told=lambda dataset, why: self.told.append((dataset, why)))

    def takes(self, items: int, rejected: int, what: str = "") -> bool:
        what = what or f"file {next(self.numbers)}"
        taken = self.tolerance.takes("a", what, items, rejected)
        if taken:
            assert self.tolerance.takes("a", what, items, rejected), "asking again changes nothing"
            self.tolerance.count("a", what, items, rejected)
        return taken


def test_a_few_bad_records_are_bad_records_however_large_their_share() -> None:
    watched = Watched()
    assert watched.takes(99, 99)
    assert not watched.told


def test_many_among_more_good_ones_are_bad_records_too() -> None:
    watched = Watched()
    assert all(watched.takes(1_000, 400) for _ in range(10))
    assert not watched.told


def test_a_share_above_the_limit_pauses_the_dataset_and_what_tipped_it_does_not_count() -> None:
    watched = Watched()
    assert watched.takes(100, 0)
    assert watched.takes(100, 90)
    assert not watched.takes(100, 90)
    assert watched.told == [("a", "180 of the last 300 were rejected")]
    assert watched.tolerance.paused_seconds("a") == 300
    assert watched.tolerance.paused_seconds("b") == 0


def test_a_run_of_nothing_but_rejections_pauses_it_whatever_came_before() -> None:
    watched = Watched()
    assert watched.takes(1_000_000, 0)
    assert watched.takes(60, 60)
    assert not watched.takes(60, 60)
    assert watched.told == [("a", "120 in a row were rejected")]


def test_one_good_record_ends_a_run() -> None:
    watched = Watched()
    assert watched.takes(1_000_000, 0)
    assert all(watched.takes(60, 60) and watched.takes(60, 59) for _ in range(20))


def test_what_is_long_past_does_not_count() -> None:
    watched = Watched()
    for _ in range(10):
        assert watched.takes(120, 70) is watched.takes(1, 0)
        watched.clock.at += WINDOW_SECONDS + 1
    assert not watched.told


@pytest.mark.parametrize(("rejected", "goes_on"), [(5, True), (6, False)])
def test_after_the_pause_one_piece_of_work_decides(rejected: int, *, goes_on: bool) -> None:
    watched = Watched()
    assert not watched.takes(100, 100)
    watched.clock.at += 299
    assert watched.tolerance.paused_seconds("a") == 1
    watched.clock.at += 1
    assert watched.tolerance.paused_seconds("a") == 0
    assert watched.takes(10, rejected) is goes_on
    assert (watched.told[-1] == ("a", None)) is goes_on
    assert (watched.tolerance.paused_seconds("a") == 0) is goes_on


def test_a_dataset_that_goes_on_begins_anew() -> None:
    watched = Watched()
    assert not watched.takes(100, 100)
    watched.clock.at += 300
    assert watched.takes(10, 0)
    assert watched.takes(99, 99)


def test_a_share_of_one_takes_everything() -> None:
    watched = Watched(share_max=1)
    assert all(watched.takes(1_000, 1_000) for _ in range(50))


def test_work_that_made_a_dataset_pause_is_taken_once_other_work_was_good_and_counts_for_itself_alone() -> None:
    watched = Watched()
    assert not watched.takes(100, 100, "bad")
    watched.clock.at += 300
    assert not watched.takes(100, 100, "bad")
    watched.clock.at += 300
    assert watched.takes(10, 0, "good")
    assert watched.takes(100, 100, "bad")
    assert watched.takes(10, 0)
    assert watched.told[-1] == ("a", None)
    assert not watched.takes(200, 200, "bad again, and not the same")


def test_work_that_nothing_else_comes_beside_waits_for_long_but_not_for_ever() -> None:
    watched = Watched()
    tries = 0
    while not watched.takes(100, 100, "bad"):
        watched.clock.at += 300
        tries += 1
    assert tries == TRIALS_MAX


def test_work_that_went_elsewhere_makes_nobody_else_wait_for_ever() -> None:
    watched = Watched()
    for number in range(TRIPPED_MAX):
        assert not watched.takes(100, 100, f"went elsewhere {number}")
    assert not watched.takes(100, 100, "bad")
    assert watched.takes(10, 0, "good")
    assert watched.takes(100, 100, "bad")


def test_however_many_are_bad_one_a_pause_is_taken_after_a_week_of_pauses() -> None:
    watched = Watched()
    fates = []
    for number in range(PAUSES_MAX + 10):
        fates.append(watched.takes(200, 200, f"file {number % (2 * TRIPPED_MAX)}"))
        assert watched.tolerance.paused_seconds("a") == 300, "it stays paused"
        watched.clock.at += 300
    assert fates == [False] * PAUSES_MAX + [True] * 10
    assert watched.takes(200, 0, "a good one")
    assert watched.told[-1] == ("a", None)
    assert not watched.takes(200, 200, "a bad one"), "it counts anew"
