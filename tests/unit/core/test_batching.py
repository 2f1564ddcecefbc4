"""When a pile closes, and what a batch takes."""

import pytest

from service.core.batching import BatchLimits, Pile, Reason, Waiting

LIMITS = BatchLimits(items_max=10, bytes_max=100, seconds_max=60)


def pile(*things: tuple[int, int, float]) -> Pile[int]:
    """A pile of things, each (items, bytes, since); a thing's value is its number."""
    made: Pile[int] = Pile(LIMITS)
    for number, (items, size_bytes, since) in enumerate(things):
        made.add(Waiting(number, items, size_bytes, since))
    return made


def taken(from_pile: Pile[int]) -> list[int]:
    return [waiting.value for waiting in from_pile.take()]


@pytest.mark.parametrize(
    ("things", "now", "reason"),
    [
        ([], 1_000, None),
        ([(1, 1, 0)], 59.9, None),
        ([(1, 1, 0)], 60, "age"),
        ([(9, 1, 0)], 0, None),
        ([(10, 1, 0)], 0, "records"),
        ([(1, 99, 0)], 0, None),
        ([(1, 100, 0)], 0, "bytes"),
        ([(10, 100, 0)], 60, "records"),
        ([(1, 100, 0)], 60, "bytes"),
    ],
)
def test_a_pile_closes_when_it_reaches_a_limit(
    things: list[tuple[int, int, float]], now: float, reason: Reason | None
) -> None:
    assert pile(*things).reason(now) == reason


def test_age_counts_from_the_first_item_not_the_last() -> None:
    old = pile((1, 1, 5), (1, 1, 64))
    assert (old.due_at(), old.reason(64), old.reason(65)) == (65, None, "age")


def test_an_idle_pile_is_never_due() -> None:
    idle = pile((1, 1, 0))
    idle.take()
    assert (idle.due_at(), idle.reason(10_000), bool(idle)) == (None, None, False)


def test_the_first_thing_always_fits_however_large() -> None:
    oversized = pile((50, 5_000, 0), (1, 1, 0))
    assert (taken(oversized), taken(oversized)) == ([0], [1])


@pytest.mark.parametrize("size", [(6, 1), (1, 60)])
def test_a_batch_stops_before_the_thing_that_exceeds_a_limit(size: tuple[int, int]) -> None:
    full = pile((4, 40, 0), (*size, 0), (*size, 0))
    assert taken(full) == [0, 1]


def test_a_later_small_thing_does_not_overtake_a_large_one() -> None:
    assert taken(pile((4, 1, 0), (8, 1, 0), (1, 1, 0))) == [0]


def test_what_remains_keeps_its_own_age_and_count() -> None:
    rest = pile((10, 50, 0), (3, 20, 7))
    rest.take()
    assert (rest.items, rest.size_bytes, rest.due_at()) == (3, 20, 67)
