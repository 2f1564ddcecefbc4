"""The order of durable effects matters: services that swap two of them, or leave one out, are found.

The effects are those that the docstrings of `land.py`, `refine.py`, `commit.py` and `settle.py` list. The inside of a
load transaction is in `test_swaps_load.py`; letters, and what queues answer, are in `test_swaps_queue.py`. A swap that
is no fault is not here: letters, objects and notice of one raw file all come before its own notice is deleted, so that
letters may as well be sent last.
"""

import copy
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from service.core.errors import SetupError, TransientError
from service.core.layer import Outcome
from service.core.model import Batch, Outgoing
from service.core.ports import Means, ObjectStore, Queue, Stored
from service.intake.inflight import Inflight
from service.intake.letters import DeadLetters
from service.intake.settle import Reached, Settle
from service.land import encode
from service.land.land import Land
from service.load import commit, ledger
from service.load.load import Load
from service.refine.refine import Refine
from tests.simulation.mutants import Mutant, breach


class LateStore:
    """Says that an object is stored, and stores it when it is told to."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._late: list[tuple[str, bytes]] = []

    async def put_new(self, uri: str, body: bytes) -> Stored:
        self._late.append((uri, body))
        return Stored(uri, hashlib.md5(body).hexdigest(), len(body), new=True)

    async def flush(self) -> None:
        for uri, body in self._late:
            await self._store.put_new(uri, body)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class _LateMarks(LateStore):
    """Is late with marks alone; everything else is stored at once."""

    async def put_new(self, uri: str, body: bytes) -> Stored:
        return await (super().put_new(uri, body) if "/marks/" in uri else self._store.put_new(uri, body))


class _NoQueue:
    """Takes everything, sends nothing."""

    async def send(self, messages: Sequence[Outgoing]) -> None:
        return


def _with_late_objects(
    patch: pytest.MonkeyPatch, layer: type[Any], method: str, store: type[LateStore] = LateStore
) -> None:
    work = getattr(layer, method)

    async def swapped(self: Any, *given: Any) -> Any:
        other = copy.copy(self)
        late = store(self._means.store)
        other._means = replace(self._means, store=late)  # noqa: SLF001
        done = await work(other, *given)
        await late.flush()
        return done

    patch.setattr(layer, method, swapped)


def _without(patch: pytest.MonkeyPatch, layer: type[Any], queue: str) -> None:
    begin = layer.__init__

    def deaf(self: Any, *given: Any, **named: Any) -> None:
        begin(self, *given, **named)
        setattr(self, queue, _NoQueue())

    patch.setattr(layer, "__init__", deaf)


def land_announces_before_it_stores(patch: pytest.MonkeyPatch) -> None:
    _with_late_objects(patch, Land, "handle")


def land_announces_before_it_stores_marks(patch: pytest.MonkeyPatch) -> None:
    _with_late_objects(patch, Land, "handle", _LateMarks)


def land_stores_no_marks(patch: pytest.MonkeyPatch) -> None:
    async def nothing(self: Land, *given: Any) -> None:
        return

    patch.setattr(Land, "_store_marks", nothing)


def what_was_sent_back_is_landed_as_a_new_message(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(encode, "origin_of", lambda message: message.message_id)


def land_does_not_announce(patch: pytest.MonkeyPatch) -> None:
    _without(patch, Land, "_refine_queue")


def refine_announces_before_it_stores(patch: pytest.MonkeyPatch) -> None:
    _with_late_objects(patch, Refine, "_refine")


def refine_does_not_announce(patch: pytest.MonkeyPatch) -> None:
    _without(patch, Refine, "_load_queue")


def _settled_first(patch: pytest.MonkeyPatch, layer: type[Any]) -> None:
    handle = layer.handle
    claims: list[Inflight] = []
    begin = Inflight.__init__

    def remember(self: Inflight, name: str, queue: Queue, **given: Any) -> None:
        begin(self, name, queue, **given)
        claims[:] = [self] if name == layer.name else claims

    async def hasty(self: Any, batch: Batch[Any]) -> Any:
        await claims[0].done([held.message for held in batch.held])
        return await handle(self, batch)

    patch.setattr(Inflight, "__init__", remember)
    patch.setattr(layer, "handle", hasty)


def refine_deletes_before_its_work(patch: pytest.MonkeyPatch) -> None:
    _settled_first(patch, Refine)


def load_deletes_before_its_work(patch: pytest.MonkeyPatch) -> None:
    _settled_first(patch, Load)


def what_is_rejected_is_deleted_before_its_letter(patch: pytest.MonkeyPatch) -> None:
    reject = Settle._reject  # noqa: SLF001 (a test may break what it likes)

    async def hasty(self: Any, dataset: str, outcome: Outcome[Any]) -> None:
        await self._queues.work.delete([held.message.receipt for held, _ in outcome.rejected])
        await reject(self, dataset, outcome)

    patch.setattr(Settle, "_reject", hasty)


def what_is_deferred_is_deleted_before_it_is_sent_again(patch: pytest.MonkeyPatch) -> None:
    defer = Settle._defer  # noqa: SLF001

    async def hasty(self: Any, dataset: str, outcome: Outcome[Any], reached: Reached) -> None:
        await self._queues.work.delete([held.message.receipt for held, _ in outcome.deferred])
        await defer(self, dataset, outcome, reached)

    patch.setattr(Settle, "_defer", hasty)


def what_is_deferred_is_not_sent_again(patch: pytest.MonkeyPatch) -> None:
    async def forget(self: Any, dataset: str, outcome: Outcome[Any], reached: Reached) -> None:
        return

    patch.setattr(Settle, "_defer", forget)


def letters_that_failed_count_as_sent(patch: pytest.MonkeyPatch) -> None:
    send = DeadLetters.send

    async def trusting(self: DeadLetters, letters: Sequence[Any]) -> None:
        try:
            await send(self, letters)
        except (TransientError, SetupError):
            return

    patch.setattr(DeadLetters, "send", trusting)


def claims_are_not_extended(patch: pytest.MonkeyPatch) -> None:
    async def forget(self: Inflight) -> None:
        return

    patch.setattr(Inflight, "_extend", forget)


def the_ledger_is_not_written(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ledger, "loaded", lambda *given: [])


def superseded_objects_are_not_removed(patch: pytest.MonkeyPatch) -> None:
    begin = commit.Commit.__init__

    class Keeping:
        def __init__(self, store: ObjectStore) -> None:
            self._store = store

        async def remove(self, uris: Sequence[str]) -> None:
            return

        def __getattr__(self, name: str) -> Any:
            return getattr(self._store, name)

    def kept(self: Any, *given: Any, means: Means, **named: Any) -> None:
        begin(self, *given, means=replace(means, store=Keeping(means.store)), **named)

    patch.setattr(commit.Commit, "__init__", kept)


SWAPS: tuple[Mutant, ...] = (
    land_announces_before_it_stores,
    land_announces_before_it_stores_marks,
    land_stores_no_marks,
    what_was_sent_back_is_landed_as_a_new_message,
    land_does_not_announce,
    refine_announces_before_it_stores,
    refine_does_not_announce,
    refine_deletes_before_its_work,
    load_deletes_before_its_work,
    what_is_rejected_is_deleted_before_its_letter,
    what_is_deferred_is_deleted_before_it_is_sent_again,
    what_is_deferred_is_not_sent_again,
    letters_that_failed_count_as_sent,
    claims_are_not_extended,
    the_ledger_is_not_written,
    superseded_objects_are_not_removed,
)


@pytest.mark.parametrize("swap", SWAPS, ids=lambda swap: swap.__name__)
def test_a_service_that_swaps_or_forgets_an_effect_is_found(swap: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    swap(monkeypatch)
    assert breach() is not None
