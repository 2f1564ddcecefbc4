"""The process dies before or after any durable effect and starts again: nothing is lost, nothing doubled."""

import pytest

from tests.fakes.journal import Crash, Journal
from tests.fakes.time import run_virtual
from tests.fakes.world import World, crashes, event, live


class _CrashAt:
    """Dies at the n-th effect, and stays dead: nothing more is done to the world."""

    def __init__(self, number: int) -> None:
        self._left = number
        self.dead = False

    def __call__(self, effect: str) -> None:
        if self.dead:
            raise Crash(effect)
        if effect.endswith("receive"):
            return
        self._left -= 1
        if self._left < 0:
            self.dead = True
            raise Crash(effect)


def _send(world: World) -> None:
    world.send(event(1), event(2, day=2), "poison")
    world.send(event(3), event(1))
    world.send("lost", dataset=None)


def _effects_of_a_calm_run(world: World) -> int:
    async def main() -> None:
        world.open()
        _send(world)
        await live(world)

    run_virtual(main())
    return len(world.journal.effects)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_crash_at_any_effect_loses_nothing_and_doubles_nothing(world: World, when: str) -> None:
    effects = _effects_of_a_calm_run(world)
    assert effects > 20
    for number in range(effects):
        fresh = World(world.datasets)
        died = run_virtual(_die_and_live_again(fresh, number, when))
        assert died, f"effect {number} was not reached"
        assert fresh.event_ids() == ["e001", "e002", "e003"], f"crash {when} effect {number}"
        assert fresh.settled()
        refine_ids = {letter["error_id"] for letter in fresh.letters("refine")}
        assert {letter["code"] for letter in fresh.letters("refine")} == {"bad_json"}
        assert 1 <= len(refine_ids) <= 2, "a regrouped message is another raw file; the same file never has two ids"
        assert {letter["original"]["body"] for letter in fresh.letters("records")} == {"lost"}
        assert len({letter["error_id"] for letter in fresh.letters("records")}) == 1
        for rows, inserted, duplicate in fresh.warehouse.ledger("events").values():
            assert rows == inserted + duplicate
        assert sum(inserted for _, inserted, _ in fresh.warehouse.ledger("events").values()) == len(fresh.rows())


async def _die_and_live_again(world: World, number: int, when: str) -> bool:
    world.open()
    _send(world)
    crash = _CrashAt(number)
    if when == "before":
        world.journal.before = crash
    else:
        world.journal.after = crash
        world.journal.before = lambda effect: crash(effect) if crash.dead else None
    try:
        await live(world)
    except BaseException as error:
        if not crashes(error):
            raise
    calm = Journal()
    world.journal.before, world.journal.after = calm.before, calm.after
    await live(world)
    return crash.dead
