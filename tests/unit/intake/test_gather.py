"""Which pile becomes a batch now."""

from collections.abc import Callable

from service.core.batching import BatchLimits
from service.core.model import Message, Sorted
from service.intake.gather import Gather

LIMITS = BatchLimits(items_max=3, bytes_max=100, seconds_max=60)
Make = Callable[..., Message]


def gather(message: Make, *things: tuple[str, str, int, float], one_at_a_time: bool = False) -> Gather[str]:
    """Holds things, each (key, message id, bytes, when it came)."""
    made: Gather[str] = Gather(LIMITS, one_at_a_time=one_at_a_time)
    for key, name, size_bytes, now in things:
        made.add(message(message_id=name), Sorted(key, name, 1, size_bytes), now)
    return made


def sealed(
    held: Gather[str], now: float = 0, *, drain: bool = False, pressure: bool = False
) -> tuple[str, str, list[str]] | None:
    found = held.seal(now, hurry="drain" if drain else "memory" if pressure else None)
    return None if found is None else (found[0], found[1], [one.value.message.message_id for one in found[2]])


def test_nothing_is_sealed_before_a_limit_is_reached(message: Make) -> None:
    held = gather(message, ("a", "1", 1, 0), ("b", "2", 1, 0))
    assert sealed(held, 59) is None
    assert held


def test_each_key_has_a_pile_of_its_own(message: Make) -> None:
    held = gather(message, ("a", "1", 1, 0), ("b", "2", 1, 0), ("a", "3", 1, 0), ("b", "4", 1, 0), ("a", "5", 1, 0))
    assert sealed(held) == ("a", "records", ["1", "3", "5"])
    assert sealed(held) is None


def test_the_next_to_fall_due_is_the_oldest_pile(message: Make) -> None:
    held = gather(message, ("a", "1", 1, 20), ("b", "2", 1, 10))
    assert held.due_at() == 70
    assert sealed(held, 70) == ("b", "age", ["2"])
    assert held.due_at() == 80


def test_pressure_takes_the_largest_pile_in_bytes(message: Make) -> None:
    held = gather(message, ("a", "1", 10, 0), ("a", "2", 10, 0), ("b", "3", 50, 0))
    assert sealed(held, pressure=True) == ("b", "memory", ["3"])
    assert sealed(held, pressure=True) == ("a", "memory", ["1", "2"])
    assert sealed(held, pressure=True) is None


def test_a_pile_at_its_limit_keeps_its_own_reason_under_pressure(message: Make) -> None:
    held = gather(message, ("a", "1", 10, 0), ("b", "2", 100, 0))
    assert sealed(held, pressure=True) == ("b", "bytes", ["2"])


def test_drain_empties_every_pile(message: Make) -> None:
    held = gather(message, ("a", "1", 10, 0), ("b", "2", 20, 0))
    assert sealed(held, drain=True, pressure=True) == ("b", "drain", ["2"])
    assert sealed(held, drain=True) == ("a", "drain", ["1"])
    assert not held


def test_one_at_a_time_keeps_collecting_until_the_last_batch_is_finished(message: Make) -> None:
    held = gather(message, ("a", "1", 1, 0), one_at_a_time=True)
    assert sealed(held, 60) == ("a", "age", ["1"])
    held.add(message(message_id="2"), Sorted("a", "2", 1, 100), 60)
    held.add(message(message_id="3"), Sorted("b", "3", 1, 1), 61)
    assert held.due_at() == 121
    assert sealed(held, 120, drain=False) is None
    assert sealed(held, 120, drain=True) == ("b", "drain", ["3"])
    assert sealed(held, 120, drain=True, pressure=True) is None
    held.finished("a")
    assert sealed(held, 120) == ("a", "bytes", ["2"])


def test_without_one_at_a_time_a_key_may_have_several_batches_under_way(message: Make) -> None:
    held = gather(message, ("a", "1", 100, 0), ("a", "2", 100, 0))
    assert [sealed(held), sealed(held)] == [("a", "bytes", ["1"]), ("a", "bytes", ["2"])]


def test_finishing_keeps_what_arrived_meanwhile(message: Make) -> None:
    held = gather(message, ("a", "1", 100, 0), one_at_a_time=True)
    sealed(held)
    held.add(message(message_id="2"), Sorted("a", "2", 1, 1), 5)
    held.finished("a")
    assert (bool(held), held.due_at()) == (True, 65)


def test_a_message_that_comes_for_the_third_time_goes_alone_and_at_once(message: Make) -> None:
    held = gather(message, ("a", "1", 1, 0))
    for name, receives in (("2", 2), ("3", 3), ("4", 9)):
        held.add(message(message_id=name, receive_count=receives), Sorted("a", name, 1, 1), 0)
    assert sealed(held) == ("a", "suspect", ["3"])
    assert sealed(held) == ("a", "suspect", ["4"])
    assert sealed(held) is None
    assert sealed(held, 60) == ("a", "age", ["1", "2"])
    assert not held


def test_where_groups_are_formed_suspects_and_groups_take_turns(message: Make) -> None:
    held: Gather[str] = Gather(LIMITS, one_at_a_time=True, interval_seconds=100)
    for name, receives in (("1", 3), ("2", 1), ("3", 4), ("4", 1), ("5", 9)):
        held.add(message(message_id=name, receive_count=receives), Sorted("a", name, 1, 1), 0)
    assert sealed(held) == ("a", "suspect", ["1"])
    assert sealed(held, 60) is None
    held.finished("a")
    assert sealed(held, 60) is None
    for now, expected in ((100, ("age", ["2", "4"])), (200, ("suspect", ["3"])), (300, ("suspect", ["5"]))):
        assert held.due_at() == now
        assert sealed(held, now) == ("a", *expected)
        held.finished("a")
    assert not held


def test_a_suspect_waits_for_nothing_while_its_group_is_not_due(message: Make) -> None:
    held: Gather[str] = Gather(LIMITS, one_at_a_time=True)
    for name, receives in (("1", 3), ("2", 1), ("3", 3)):
        held.add(message(message_id=name, receive_count=receives), Sorted("a", name, 1, 1), 0)
    for expected in ("1", "3"):
        assert sealed(held) == ("a", "suspect", [expected])
        held.finished("a")
    assert (sealed(held), held.due_at()) == (None, 60)
