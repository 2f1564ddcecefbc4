"""What must be in a load transaction, and in which order: loaders that forget a part of it, or swap two, are found.

`service/load/commit.py` lists the parts. Two swaps are no faults and are not here: inside the transaction the ledger
may as well be written before the rows, because both count at COMMIT; and COPY cannot read a manifest that is not stored
yet.
"""

import copy
from collections.abc import Sequence
from typing import Any

import pytest

from service.load import ledger, stage
from service.load.commit import Commit, Committed
from service.load.groups import Group
from service.load.ledger import Entry
from service.load.places import fresh_places
from tests.simulation.mutants import Change, Mutant, breach, change_transactions


class _AnyNumber(int):
    """Is no other number than any other."""

    def __ne__(self, other: object) -> bool:
        return False

    __hash__ = int.__hash__


CHANGES = {
    "the ledger is not locked": Change(without="ledger_lock", near="commit late"),
    "the ledger is read before it is locked": Change(
        late=("ledger_lock", "ledger_known"), near="replayed_delete slow", first=132
    ),
    "rows are not counted": Change(answer=("copy_count", _AnyNumber()), near="copy short"),
    "what the table has goes in again": Change(text=("fresh_create", "present._record_id IS NULL", "1 = 1")),
    "what is twice in a group goes in twice": Change(text=("fresh_create", "_nth = 1", "_nth >= 1")),
    "a lower version stays": Change(without="older_delete", near="older_delete"),
    "a lower version goes after the higher one has come": Change(
        late=("older_delete", "fresh_insert"), near="older_delete"
    ),
    "what a replay replaces stays": Change(without="replayed_delete"),
    "what a replay replaces goes after the replay has come": Change(late=("replayed_delete", "fresh_insert")),
    "nothing is inserted": Change(without="fresh_insert"),
    "the ledger is not written": Change(without="ledger_add"),
    "the stage is left in the session": Change(without="stage_drop"),
    "the choice of rows is left in the session": Change(without="fresh_drop"),
    "the ledger keeps the row that is written anew": Change(without="ledger_remove"),
}


@pytest.mark.parametrize("change", list(CHANGES))
def test_a_transaction_that_lacks_a_part_or_swaps_two_is_found(change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    change_transactions(monkeypatch, CHANGES[change])
    assert breach(CHANGES[change].near, first=CHANGES[change].first) is not None


def the_ledger_is_written_in_a_transaction_of_its_own(patch: pytest.MonkeyPatch) -> None:
    write, run = Commit._write, Commit.run  # noqa: SLF001 (a test may break what it likes)

    async def apart(self: Any, group: Group) -> Committed:
        other = copy.copy(self)
        waiting: list[tuple[Any, ...]] = []

        async def later(_: Any, *given: Any) -> Sequence[Entry]:
            waiting.append(given)
            return []

        other._write = later  # noqa: SLF001
        done = await run(other, group)
        async with self._warehouse.transaction() as session:
            await self._lock.take(session, group.dataset, self._places(group))
            old = [entry for given in waiting for entry in await write(self, session, *given)]
        await self._means.store.remove([entry.uri for entry in old])
        return done

    patch.setattr(Commit, "run", apart)


def what_is_superseded_is_removed_before_commit(patch: pytest.MonkeyPatch) -> None:
    write = Commit._write  # noqa: SLF001

    async def hasty(self: Any, *given: Any) -> list[Entry]:
        old = await write(self, *given)
        await self._means.store.remove([entry.uri for entry in old])
        return []

    patch.setattr(Commit, "_write", hasty)


def what_is_superseded_is_not_noted(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ledger, "superseding", lambda *given: [])


def a_replay_gives_way_to_what_it_replaces(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(stage, "fresh_places", lambda group, _, span: fresh_places(group, [], span))


OTHERS: tuple[Mutant, ...] = (
    the_ledger_is_written_in_a_transaction_of_its_own,
    what_is_superseded_is_removed_before_commit,
    what_is_superseded_is_not_noted,
    a_replay_gives_way_to_what_it_replaces,
)


@pytest.mark.parametrize("mutant", OTHERS, ids=lambda mutant: mutant.__name__)
def test_a_loader_that_parts_what_belongs_together_is_found(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant(monkeypatch)
    assert breach() is not None
