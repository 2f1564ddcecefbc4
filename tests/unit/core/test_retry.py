"""Waits between tries."""

import random

import pytest

from service.core.errors import SetupError, TransientError
from service.core.retry import Backoff, Down, persist
from tests.fakes.time import run_virtual


def waits(seed: int, attempts: int = 40) -> list[float]:
    backoff = Backoff(1.0, 60.0, random.Random(seed))
    return [backoff.seconds(attempt) for attempt in range(1, attempts)]


@pytest.mark.parametrize(
    ("attempt", "least", "most"), [(1, 0.5, 1), (2, 1, 2), (3, 2, 4), (6, 16, 32), (7, 30, 60), (10_000, 30, 60)]
)
def test_a_wait_lies_between_half_its_ceiling_and_its_ceiling(attempt: int, least: float, most: float) -> None:
    backoff = Backoff(1.0, 60.0, random.Random(1))
    drawn = [backoff.seconds(attempt) for _ in range(200)]
    assert all(least <= seconds < most for seconds in drawn)
    assert max(drawn) - min(drawn) > (most - least) / 2


def test_the_same_seed_draws_the_same_waits() -> None:
    assert waits(7) == waits(7)
    assert waits(7) != waits(8)


def tried(failures: list[Exception], *, give_up_after: int = 100) -> tuple[str | None, list[float]]:
    """What came of work that fails so and then passes, and which waits were asked for."""
    waits: list[float] = []
    left = iter(failures)

    async def work() -> str:
        for failure in left:
            raise failure
        return "done"

    async def rest(down: Down, seconds: float) -> bool:
        waits.append(seconds)
        return len(waits) < give_up_after

    backoff = Backoff(1.0, 60.0, random.Random(1))
    return run_virtual(persist(work, on=(TransientError,), backoff=backoff, rest=rest)), waits


def test_work_is_tried_until_it_gets_through_with_growing_waits() -> None:
    done, asked = tried([TransientError("s3", "no")] * 5)
    assert done == "done"
    assert asked == waits(1)[:5]


def test_work_is_given_up_when_the_caller_says_so() -> None:
    assert tried([TransientError("s3", "no")] * 5, give_up_after=3) == (None, waits(1)[:3])


def test_what_the_caller_does_not_name_is_not_tried_again() -> None:
    with pytest.raises(SetupError):
        tried([SetupError("no right")])
