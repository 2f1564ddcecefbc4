"""Mailers that meet and die: each mail goes out once, in any order of calls; a death costs what is documented."""

import asyncio
import itertools
import random
import re
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from service.core.clock import Deadline
from service.core.errors import TransientError
from service.core.ports import Listed, Notifier, ObjectStore
from service.quarantine.mailbox import LEASE_SECONDS
from service.quarantine.mailer import LOOK_SECONDS
from tests.fakes.journal import Crash
from tests.fakes.queue import EPOCH
from tests.fakes.store import FakeStore
from tests.fakes.time import LoopClock, run_virtual
from tests.unit.quarantine.post import HOUR, ONE, OTHER, Post, run
from tests.unit.quarantine.turns import TurnNotifier, Turns, TurnStore

CHANGES_MAX = 3
NAMED = re.compile(r"--fingerprint ([0-9a-f]{16})")


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_crash_anywhere_costs_at_most_the_documented_second_mail(when: str) -> None:
    """The mailer dies at its n-th call, for every n; another one starts on what it left."""

    async def main(number: int, post: Post) -> tuple[str | None, int]:
        calls = itertools.count()
        struck: list[str] = []
        await post.fail(ONE, OTHER)

        def before(effect: str) -> None:
            if when == "before" and next(calls) == number:
                struck.append(effect)
                raise Crash

        def after(effect: str) -> None:
            post.sent(effect)
            if when == "after" and next(calls) == number:
                struck.append(effect)
                raise Crash

        post.journal.before, post.journal.after = before, after
        mailer = post.mailer()
        task = asyncio.ensure_future(mailer.run())
        await asyncio.wait([task], timeout=50)
        if not task.done():
            mailer.drain(Deadline.after(0.0, LoopClock()))
        await asyncio.gather(task, return_exceptions=True)
        post.journal.before, post.journal.after = lambda _: None, post.sent
        async with post.working(post.mailer(), post.mailer()):
            await asyncio.sleep(500)
        assert post.settled()
        return (struck[0] if struck else None), len(post.sent_at)

    results = [run_virtual(main(number, Post())) for number in range(60)]
    struck = [effect for effect, _ in results if effect is not None]
    assert len(struck) < 60, "every call was struck"
    assert "sns publish" in struck
    assert {mails for _, mails in results} == {1, 2}
    twice = [effect for effect, mails in results if mails == 2]
    expected = {
        "before": ["read lake-errors fingerprints", "replace lake-errors fingerprints"],
        "after": ["sns publish"],
    }
    assert twice == expected[when], "between SNS having it and the mailbox saying so, and nowhere else"


Process = Callable[[Post, ObjectStore, Notifier], Coroutine[Any, Any, None]]


async def mails(post: Post, store: ObjectStore, notifier: Notifier) -> None:
    """Be a mailer for as long as a lease and a look."""
    async with post.working(post.mailer(store=store, notifier=notifier)):
        await asyncio.sleep(LEASE_SECONDS + LOOK_SECONDS)


async def counts(post: Post, store: ObjectStore, notifier: Notifier) -> None:
    """Be a layer that meets the fingerprint once more."""
    await post.fail(ONE, store=store)


async def race(post: Post, choices: Sequence[int], processes: Sequence[Process]) -> list[tuple[int, list[int]]]:
    """Who makes each call, and who could have, until all rest. After the given choices whoever was on goes on."""
    turns, taken = Turns(), list[tuple[int, list[int]]]()
    await post.fail(ONE)
    await asyncio.sleep(31)
    async with asyncio.TaskGroup() as group:
        for number, process in enumerate(processes):
            store = TurnStore(post.store, post.journal, turns, number)
            group.create_task(process(post, store, TurnNotifier(post.topic, turns, number)))
        while waiting := await turns.waiting():
            on = choices[len(taken)] if len(taken) < len(choices) else taken[-1][0] if taken else 0
            taken.append((on if on in waiting else waiting[0], waiting))
            turns.give(taken[-1][0])
        turns.free()
    return taken


def every_order(processes: Sequence[Process], check: Callable[[Post], None]) -> int:
    """Try all orders with up to so many changes from one process to another; returns how many there were."""
    orders, done = [[0], [1]], 0
    while orders:
        choices, post = orders.pop(), Post()
        taken = run_virtual(race(post, choices, processes))
        check(post)
        done += 1
        path = [who for who, _ in taken]
        for at in range(len(choices), len(taken)):
            changed = [[*path[:at], other] for other in taken[at][1] if other != path[at]]
            orders += [order for order in changed if _changes(order) <= CHANGES_MAX]
    return done


def test_two_mailers_send_a_mail_once_in_every_order_of_their_calls() -> None:
    def check(post: Post) -> None:
        assert len(post.sent_at) == 1
        assert post.settled()

    assert every_order((mails, mails), check) >= 100


def test_what_fails_while_a_mail_goes_out_is_told_or_still_to_be_told() -> None:
    def check(post: Post) -> None:
        [state] = post.states()
        assert (len(post.sent_at), state.failed, post.box().claim) == (1, 2, None)
        assert (state.mailed, state.news) in [(1, "more"), (2, None)]
        outcomes.add(state.mailed)

    outcomes = set[int]()
    assert every_order((mails, counts), check) >= 100
    assert outcomes == {1, 2}


def _changes(order: Sequence[int]) -> int:
    return sum(one != other for one, other in itertools.pairwise(order))


def test_a_mailer_that_slept_through_its_claim_does_not_send() -> None:
    """The answer to its claim comes after so long that another one may have sent the mail meanwhile."""

    async def main(post: Post) -> None:
        await post.fail(ONE)

        class Slow(FakeStore):
            async def replace(self, uri: str, body: bytes, *, etag: str | None) -> str | None:
                done = await super().replace(uri, body, etag=etag)
                await asyncio.sleep(LEASE_SECONDS + 60)
                return done

        slow = Slow(post.journal)
        slow.objects, slow.stored_at = post.store.objects, post.store.stored_at
        async with asyncio.TaskGroup() as group:
            first = group.create_task(post.mailer(store=slow).run())
            await asyncio.sleep(50)
            async with post.working(post.mailer()):
                await asyncio.sleep(HOUR)
            first.cancel()

    post = run(main)
    assert len(post.sent_at) == 1


def test_a_listing_that_shows_no_change_is_no_ground_for_a_second_mail() -> None:
    """The hint is old: it shows as untold what the other mailer has just told."""

    class Unchanging(FakeStore):
        async def pages(self, prefix: str) -> AsyncIterator[Sequence[Listed]]:
            async for page in super().pages(prefix):
                yield [Listed(one.uri, 1, EPOCH - timedelta(days=1)) for one in page]

    async def main(post: Post) -> None:
        unchanging = Unchanging(post.journal)
        unchanging.objects = post.store.objects
        async with post.working(post.mailer(store=unchanging)):
            await asyncio.sleep(1)
            await post.fail(ONE)
            await asyncio.sleep(4)
            async with post.working(post.mailer()):
                await asyncio.sleep(HOUR)

    post = run(main)
    assert post.sent_at == [35.0], "the other looks at 15, 30 and 45"


class Weather:
    """Calls that fail, calls whose answer is lost, and deaths, drawn from a seed."""

    def __init__(self, post: Post, seed: int) -> None:
        self._post = post
        self._random = random.Random(seed)
        self.calm = False
        self.tries: list[float] = []
        self.struck_at: list[float] = []
        post.journal.before, post.journal.after = self.before, self.after

    def before(self, effect: str) -> None:
        """It may not be done."""
        if effect == "sns publish":
            self.tries.append(LoopClock().monotonic())
        self._strike(effect)

    def after(self, effect: str) -> None:
        """It is done, and may not be answered."""
        self._post.sent(effect)
        self._strike(effect)

    def _strike(self, effect: str) -> None:
        if self.calm or self._random.random() > 0.02:
            return
        self.struck_at.append(LoopClock().monotonic())
        raise self._random.choice([Crash(), TransientError("somebody", "it is away")])


@pytest.mark.parametrize("seed", range(6))
def test_in_any_weather_the_bounds_hold_and_everything_is_told(seed: int) -> None:
    async def main(post: Post) -> Weather:
        weather = Weather(post, seed)

        async def alive() -> None:
            """A mailer that is started again whenever it dies."""
            while not weather.calm:
                with suppress(Crash):
                    await post.mailer().run()
                await asyncio.sleep(5)

        mailers = [asyncio.ensure_future(alive()) for _ in range(3)]
        for number in range(60):
            weather.calm, was = True, weather.calm
            await post.fail(f"{number % 7:016x}")
            weather.calm = was
            await asyncio.sleep(200)
        weather.calm = True
        await asyncio.sleep(2 * HOUR)
        for mailer in mailers:
            mailer.cancel()
        return weather

    post = Post()
    weather = run_virtual(main(post))
    assert len(weather.struck_at) >= 20
    assert post.settled()
    assert sum(state.mailed for state in post.states()) == 60
    assert all(sum(at <= other < at + HOUR for other in weather.tries) <= 20 for at in weather.tries)
    mails = [(at, set(re.findall(NAMED, text))) for at, (_, text) in zip(post.sent_at, post.topic.mails, strict=True)]
    for (at, names), (again_at, again) in itertools.combinations(mails, 2):
        assert again_at - at >= 900 or not names & again or at in weather.struck_at, "only a fault makes two of one"
