"""Layer 2: notices about refined files become few, large COPYs.

Durable effects, in this order: those of `commit.py` → (by the intake) notices deleted. A crash in between brings the
notices again; the ledger knows the files, and they are settled.

One COPY a table at a time; what arrives meanwhile forms the next group. When the data of a group is refused, the
guilty unit is found: its notice goes to dead letters, all others are loaded.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from service.core.datasets import UNDEFINED, Dataset
from service.core.errors import RejectedError, undefined
from service.core.errors_dataset import ERRORS
from service.core.events import GroupLoaded
from service.core.layer import Outcome
from service.core.model import Batch, Held, Message, Sorted
from service.core.notice import FileNotice
from service.core.ports import Means
from service.core.tolerance import Tolerance
from service.load.accept import Accepted
from service.load.commit import Commit
from service.load.groups import Group, groups, units_of
from service.load.isolate import isolate
from service.load.ledger import Unit
from service.load.preflight import Preflight
from service.load.reasons import Reasons

Refused: TypeAlias = list[tuple[Unit, RejectedError]]


@dataclass(frozen=True, slots=True)
class Loading:
    """What loading consists of, in the order in which it is used."""

    preflight: Preflight
    commit: Commit
    reasons: Reasons


class Load:
    """Coalesces notices of a dataset into groups and commits them: of the defined ones, and of what was rejected."""

    name = "load"

    def __init__(
        self,
        datasets: Mapping[str, Dataset],
        *,
        accepted: Accepted,
        loading: Loading,
        tolerance: Tolerance,
        means: Means,
    ) -> None:
        self._datasets = {**datasets, ERRORS.name: ERRORS}
        self._accepted = accepted
        self._loading = loading
        self._tolerance = tolerance
        self._means = means

    def sort(self, message: Message) -> Sorted[FileNotice]:
        """By dataset."""
        return self._accepted.sorted(message)

    async def handle(self, batch: Batch[FileNotice]) -> Outcome[FileNotice]:
        """Load the batch's files; a notice is rejected when one of its files is refused.

        Where more is refused than data explain, the dataset pauses and the notices are deferred.
        """
        pause = self._tolerance.paused_seconds(batch.key)
        if pause:
            return Outcome(deferred=[(held, pause) for held in batch.held])
        rejected = await self._rejected(batch)
        what = rejected[0][0].value.batch_id if rejected else ""
        if self._tolerance.takes(batch.key, what, len(batch.held), len(rejected)):
            self._tolerance.count(batch.key, what, len(batch.held), len(rejected))
            return Outcome(rejected)
        pause = self._tolerance.paused_seconds(batch.key)
        return Outcome(deferred=[(held, pause) for held, _ in rejected])

    async def _rejected(self, batch: Batch[FileNotice]) -> list[tuple[Held[FileNotice], RejectedError]]:
        """Load the batch; returns the notices of which a file was refused."""
        if batch.key == UNDEFINED:
            return [(held, undefined()) for held in batch.held]
        refused: Refused = []
        for group in groups(self._datasets[batch.key], [held.value for held in batch.held], batch.batch_id):
            refused += await self._load(group)
        why = {unit.key: wrong for unit, wrong in refused}
        found = [(held, [why[unit.key] for unit in units_of(held.value) if unit.key in why]) for held in batch.held]
        return [(held, wrongs[0]) for held, wrongs in found if wrongs]

    async def _load(self, group: Group) -> Refused:
        """Load what can be; returns what was refused."""
        await self._loading.preflight.table(group.dataset, group.columns)
        refused = await self._absent(group)
        absent = [unit for unit, _ in refused]
        whole = [unit for unit in group.units if unit not in absent]

        async def attempt(units: Sequence[Unit]) -> RejectedError | None:
            return await self._attempt(replace(group, units=units))

        guilty = await isolate(whole, attempt, self._loading.reasons.named)
        return [*refused, *[(unit, await self._loading.reasons.explained(unit, wrong)) for unit, wrong in guilty]]

    async def _absent(self, group: Group) -> Refused:
        """Units with a file that is gone or another one, unless they are loaded already: then it may be gone."""
        faults = await self._loading.preflight.files([file for unit in group.units for file in unit.files])
        wrong = {unit: faults[uri] for unit in group.units for uri in unit.uris if uri in faults}
        settled = await self._loading.commit.settled(replace(group, units=[*wrong])) if wrong else []
        return [(unit, fault) for unit, fault in wrong.items() if unit not in settled]

    async def _attempt(self, group: Group) -> RejectedError | None:
        began = self._means.clock.monotonic()
        try:
            done = await self._loading.commit.run(group)
        except RejectedError as wrong:
            return wrong
        self._means.emit(
            GroupLoaded(
                dataset=group.dataset.name,
                files=done.files,
                known_files=done.known_files,
                rows=done.rows,
                inserted=done.inserted,
                replaced=done.replaced,
                duplicate=done.rows - done.inserted - done.replaced,
                seconds=self._means.clock.monotonic() - began,
            )
        )
        return None
