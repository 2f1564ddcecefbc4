"""An errors zone, a topic, and the mailers that work there."""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from service.core.clock import Deadline
from service.core.events import MailFailed, MailSent
from service.core.ports import Means, Notifier, ObjectStore
from service.core.retry import Backoff
from service.core.zones import Zone
from service.quarantine.digest import MailLimits
from service.quarantine.mailbox import Mailbox
from service.quarantine.mailer import Mailer
from service.quarantine.states import Failed, State, States
from tests.fakes.journal import Journal
from tests.fakes.notifier import FakeNotifier
from tests.fakes.store import FakeStore
from tests.fakes.time import InlineFanOut, InlineThreads, LoopClock, run_virtual

ZONE = Zone.parse("errors", "s3://lake-errors")
ONE, OTHER = "0f2cf4b5a1c94d0e", "aaaabbbbccccdddd"
HOUR = 3_600.0


@dataclass
class Post:
    """An errors zone and a topic, and the mailers that have worked there."""

    journal: Journal = field(default_factory=Journal)
    store: FakeStore = field(init=False)
    topic: FakeNotifier = field(init=False)
    heard: list[MailSent | MailFailed] = field(default_factory=list)
    sent_at: list[float] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.store, self.topic = FakeStore(self.journal), FakeNotifier(self.journal)
        self.journal.after = self.sent

    def sent(self, effect: str) -> None:
        if effect == "sns publish":
            self.sent_at.append(LoopClock().monotonic())

    def means(self, store: ObjectStore | None = None) -> Means:
        return Means(store or self.store, InlineThreads(), InlineFanOut(), LoopClock(), lambda _: None)

    def mailer(
        self, *, store: ObjectStore | None = None, notifier: Notifier | None = None, hour_max: int = 20
    ) -> Mailer:
        return Mailer(
            notifier or self.topic,
            zone=ZONE,
            who=f"mailer {next(self.numbers)}",
            limits=MailLimits(hour_max=hour_max),
            backoff=Backoff(30.0, 900.0, random.Random(1)),
            means=self.means(store),
            told=self.heard.append,
        )

    async def fail(self, *names: str, count: int = 1, store: ObjectStore | None = None) -> None:
        now = LoopClock().now()
        failures = [
            Failed(name, "refine", "loans", "bad_type", "amount", "no integer", count, now, now) for name in names
        ]
        await States(ZONE, self.means(store)).count(failures, f"b{next(self.numbers)}")

    @asynccontextmanager
    async def working(self, *mailers: Mailer) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            for mailer in mailers:
                group.create_task(mailer.run())
            yield
            for mailer in mailers:
                mailer.drain(Deadline.after(100.0, LoopClock()))

    def box(self) -> Mailbox:
        return Mailbox.from_json(self.store.objects.get(ZONE.uri("fingerprints/_mailbox.json")))

    def states(self) -> list[State]:
        found = [State.from_json(body) for uri, body in self.store.objects.items() if "_mailbox" not in uri]
        return [state for state in found if state is not None]

    def settled(self) -> bool:
        """Whether everything is told, and the mailbox is as after a day without news."""
        return self.box().claim is None and all(state.news is None for state in self.states())


def run(main: Callable[[Post], Coroutine[Any, Any, None]]) -> Post:
    post = Post()
    run_virtual(main(post))
    return post
