"""The order of the quarantine layer's effects matters, and what its mailer remembers: what differs is found."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from service.core.errors import TransientError
from service.core.layer import Outcome
from service.core.model import Batch, Outgoing
from service.core.ports import ObjectStore, Stored
from service.quarantine import arrivals, counted, quarantine, states
from service.quarantine.arrivals import Failure
from service.quarantine.mailbox import Mailbox
from service.quarantine.mailer import Mailer
from service.quarantine.portions import Portion, Portions
from service.quarantine.quarantine import Quarantine
from service.quarantine.states import Failed, State, States, Told
from tests.simulation.faults import Fault
from tests.simulation.mutants import Mutant, breach
from tests.simulation.plan import Plan


class _LateQueue:
    """Sends what it was given a batch before."""

    def __init__(self, queue: Any, late: list[Outgoing]) -> None:
        self._queue = queue
        self._late = late

    async def send(self, messages: Sequence[Outgoing]) -> None:
        before = list(self._late)
        self._late[:] = messages
        await self._queue.send(before)


def copies_are_sent_after_the_deletion(patch: pytest.MonkeyPatch) -> None:
    handle = Quarantine.handle
    late: list[Outgoing] = []

    async def swapped(self: Any, batch: Batch[None]) -> Outcome[None]:
        other = copy.copy(self)
        other._ways = replace(self._ways, reprocess_queue=_LateQueue(self._ways.reprocess_queue, late))  # noqa: SLF001
        return await handle(other, batch)

    patch.setattr(Quarantine, "handle", swapped)


class _Watched:
    """A store that notes what lay there before; originals may be left out."""

    def __init__(self, store: ObjectStore, *, originals: bool) -> None:
        self._store = store
        self._originals = originals
        self.old: set[str] = set()

    async def put_new(self, uri: str, body: bytes) -> Stored:
        if "/originals/" in uri and not self._originals:
            return Stored(uri, "", len(body), new=True)
        stored = await self._store.put_new(uri, body)
        if not stored.new:
            self.old.add(uri)
        return stored

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def _watch(patch: pytest.MonkeyPatch, *, originals: bool) -> None:
    store = Portions._portion  # noqa: SLF001 (a test may break what it likes)

    async def changed(self: Any, *given: Any) -> Portion:
        other, watched = copy.copy(self), _Watched(self._means.store, originals=originals)
        other._means = replace(self._means, store=watched)  # noqa: SLF001
        portion = await store(other, *given)
        return (
            portion if not originals else replace(portion, files=[f for f in portion.files if f.uri not in watched.old])
        )

    patch.setattr(Portions, "_portion", changed)


def what_lay_there_is_taken_for_announced(patch: pytest.MonkeyPatch) -> None:
    _watch(patch, originals=True)


def originals_are_not_stored(patch: pytest.MonkeyPatch) -> None:
    _watch(patch, originals=False)


def rows_are_not_announced(patch: pytest.MonkeyPatch) -> None:
    async def announce(self: Quarantine, *_: Any) -> None:
        return

    patch.setattr(Quarantine, "_announce", announce)


def a_count_that_fails_is_taken_for_counted(patch: pytest.MonkeyPatch) -> None:
    count = States.count

    async def hasty(self: States, *given: Any) -> None:
        try:
            await count(self, *given)
        except TransientError:
            return

    patch.setattr(States, "count", hasty)


def letters_are_counted_not_failures(patch: pytest.MonkeyPatch) -> None:
    failed_of = counted.failed_of

    def by_letter(failures: Sequence[Failure], counts: Mapping[str, int]) -> list[tuple[str, Failed]]:
        return failed_of(failures, dict.fromkeys(counts, 1))

    patch.setattr(quarantine, "failed_of", by_letter)


def letters_are_known_by_their_batch_alone(patch: pytest.MonkeyPatch) -> None:
    together = states._together  # noqa: SLF001

    def forgetful(same: Sequence[Failed], now: datetime) -> Failed:
        return replace(together(same, now), letters=())

    patch.setattr(states, "_together", forgetful)


def nobody_compares_before_setting(patch: pytest.MonkeyPatch) -> None:
    async def amend(store: ObjectStore, uri: str, decide: Any) -> None:
        found = await store.read(uri)
        after = decide(None if found is None else found[0])
        while after is not None:
            now = await store.read(uri)
            if await store.replace(uri, after, etag=None if now is None else now[1]) is not None:
                return

    patch.setattr(states, "amend", amend)


def letters_about_error_files_make_rows(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(arrivals, "is_about_errors", lambda *_: False)


def an_older_report_wins(patch: pytest.MonkeyPatch) -> None:
    order = Quarantine._failures  # noqa: SLF001

    def reversed_(self: Quarantine, messages: Sequence[Any]) -> list[Failure]:
        return order(self, messages)[::-1]

    patch.setattr(Quarantine, "_failures", reversed_)


def a_mail_is_written_down_before_it_is_sent(patch: pytest.MonkeyPatch) -> None:
    send = Mailer._send  # noqa: SLF001

    async def swapped(self: Any, mail: Any, failures: int) -> None:
        now = self._means.clock.now()
        self._owed = lambda mailbox: mailbox.published(self._who, now)
        await self._step()
        await send(self, mail, failures)

    patch.setattr(Mailer, "_send", swapped)


def what_was_mailed_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Mailbox, "published", lambda self, *_: replace(self, claim=None))


def the_hour_has_no_limit(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Mailbox, "used", lambda *_: 0)


def nobody_waits_for_the_others_mail(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Mailbox, "free", lambda *_: True)


def what_a_mail_told_is_told_again_at_once(patch: pytest.MonkeyPatch) -> None:
    told = State.told

    def changed(self: State, said: Told, at: datetime) -> State:
        return replace(told(self, said, at), mailed_at=None, mailed=0, untold_since=at)

    patch.setattr(State, "told", changed)


MUTANTS: tuple[Mutant, ...] = (
    copies_are_sent_after_the_deletion,
    what_lay_there_is_taken_for_announced,
    rows_are_not_announced,
    originals_are_not_stored,
    a_count_that_fails_is_taken_for_counted,
    letters_are_counted_not_failures,
    letters_are_known_by_their_batch_alone,
    nobody_compares_before_setting,
    letters_about_error_files_make_rows,
    an_older_report_wins,
    a_mail_is_written_down_before_it_is_sent,
    what_was_mailed_is_forgotten,
    the_hour_has_no_limit,
    nobody_waits_for_the_others_mail,
    what_a_mail_told_is_told_again_at_once,
)


INSTEAD: dict[Mutant, tuple[Fault, ...]] = {
    what_lay_there_is_taken_for_announced: (Fault("put errors", "lost", 0),),
    a_count_that_fails_is_taken_for_counted: (Fault("replace fingerprints", "fail", 0),),
    nobody_compares_before_setting: (Fault("replace fingerprints", "slow", 4, 0.0, 45.0),),
    an_older_report_wins: (Fault("refine-dlq send", "lost", 0),),
    a_mail_is_written_down_before_it_is_sent: (Fault("sns publish", "kill before", 0),),
    the_hour_has_no_limit: (Fault("sns publish", "fail", 0), Fault("sns publish", "fail", 1)),
    nobody_waits_for_the_others_mail: (Fault("sns publish", "slow", 0, 0.0, 19.0),),
}
"""Found soonest where nothing but this goes wrong; all are found where many things do."""


def _alone(plan: Plan) -> bool:
    """Whether the quarantine layer runs, and nobody sends anything back, which takes long."""
    return plan.quarantined and not plan.peopled


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_quarantine_layer_that_does_otherwise_is_found(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant(monkeypatch)
    assert breach("", _alone, INSTEAD.get(mutant, ())) is not None
