"""The bytes that the process may hold."""

import tracemalloc
from collections.abc import Callable

import pytest

from service.core.model import Attribute, Message
from service.intake.budget import Budget, memory_bytes

Make = Callable[..., Message]
MEBIBYTE = 1024 * 1024


def test_messages_count_until_nobody_works_with_them(message: Make) -> None:
    one, other = message(body="a" * 600), message(body="b" * 600)
    budget = Budget(1_200)
    budget.take([one])
    assert not budget.full()
    budget.take([other])
    assert budget.full()
    budget.free([one])
    assert not budget.full()
    budget.free([other])
    assert budget.held_bytes == 0


@pytest.mark.parametrize("character", ["a", "é", "€", "😀"])
def test_a_message_weighs_what_python_takes_for_it(message: Make, character: str) -> None:
    tracemalloc.start()
    try:
        made = message(body=character * MEBIBYTE, attributes={"x": Attribute("Binary", bytes(MEBIBYTE))})
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert memory_bytes(made) == pytest.approx(held, rel=0.01)
