"""The bytes that the process may hold."""

from dataclasses import dataclass

import pytest

from service.intake.budget import Budget


@dataclass
class Holding:
    """Holds that many bytes."""

    body_bytes: int


@pytest.mark.parametrize(
    ("held", "full"), [((), False), ((99,), False), ((100,), True), ((50, 49), False), ((50, 50), True)]
)
def test_all_holders_count_together(held: tuple[int, ...], *, full: bool) -> None:
    budget = Budget(100)
    for size in held:
        budget.include(Holding(size))
    assert budget.full() is full
