"""Finding what to blame for a refused group, in few attempts."""

import asyncio
import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.core.errors import RejectedError
from service.load.isolate import isolate


class Table:
    """Refuses what holds a bad item; counts. `tell` says which bad items a refusal names."""

    def __init__(self, bad: set[int], *, tell: bool = False) -> None:
        self.bad = bad
        self.tell = tell
        self.loaded: list[int] = []
        self.attempts = 0
        self.found_after: dict[int, int] = {}

    async def attempt(self, items: Sequence[int]) -> RejectedError | None:
        """All or none."""
        self.attempts += 1
        wrong = [item for item in items if item in self.bad]
        if not wrong:
            self.loaded.extend(items)
            return None
        if len(items) == 1:
            self.found_after[items[0]] = self.attempts
        return RejectedError("load_refused", f"because of {wrong[0]}")

    async def blame(self, items: Sequence[int], _: RejectedError) -> Sequence[int]:
        """The first bad one, when it tells."""
        return [item for item in items if item in self.bad][:1] if self.tell else []

    def isolate(self, items: Sequence[int]) -> list[tuple[int, RejectedError]]:
        """Run it."""
        return asyncio.run(isolate(items, self.attempt, self.blame))


@pytest.mark.parametrize("guilty", [0, 1, 249, 250, 251, 498, 499])
def test_one_guilty_file_among_500_is_found_in_the_attempts_that_are_promised(guilty: int) -> None:
    table = Table({guilty})
    [(found, why)] = table.isolate(range(500))
    assert (found, str(why)) == (guilty, f"because of {guilty}")
    assert sorted(table.loaded) == [n for n in range(500) if n != guilty]
    assert table.found_after[guilty] <= 11
    assert table.attempts <= 2 * math.log2(500)


def test_a_file_that_the_refusal_names_needs_no_search() -> None:
    table = Table({137}, tell=True)
    assert [item for item, _ in table.isolate(range(500))] == [137]
    assert table.attempts == 3


@given(st.integers(1, 60), st.data(), st.booleans())
def test_every_good_item_loads_once_and_every_bad_one_is_told_once(count: int, data: st.DataObject, tell: bool) -> None:  # noqa: FBT001
    bad = data.draw(st.sets(st.integers(0, count - 1)))
    table = Table(bad, tell=tell)
    found = table.isolate(range(count))
    assert sorted(item for item, _ in found) == sorted(bad)
    assert all(str(why) == f"because of {item}" for item, why in found)
    assert sorted(table.loaded) == sorted(set(range(count)) - bad)
    assert table.attempts <= 3 * count


def test_a_group_that_is_refused_though_no_item_is_loads_in_pieces() -> None:
    attempts: list[Sequence[int]] = []

    async def attempt(items: Sequence[int]) -> RejectedError | None:
        attempts.append(items)
        return RejectedError("load_refused", "too many") if len(items) > 3 else None

    async def blame(_: Sequence[int], __: RejectedError) -> Sequence[int]:
        return []

    assert asyncio.run(isolate(range(20), attempt, blame)) == []
    assert sorted(n for items in attempts if len(items) <= 3 for n in items) == list(range(20))


def test_who_is_named_wrongly_is_loaded_all_the_same() -> None:
    table = Table({3})

    async def blame(items: Sequence[int], _: RejectedError) -> Sequence[int]:
        return [item for item in items if item in (1, 2)]

    found = asyncio.run(isolate(range(6), table.attempt, blame))
    assert [item for item, _ in found] == [3]
    assert sorted(table.loaded) == [0, 1, 2, 4, 5]


def test_nothing_to_load_is_nothing_to_try() -> None:
    table = Table(set())
    assert table.isolate([]) == []
    assert table.attempts == 0
