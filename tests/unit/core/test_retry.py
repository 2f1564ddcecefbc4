"""Waits between tries."""

import random

import pytest

from service.core.retry import Backoff


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
