"""Layer 3: dead letters become error rows that people can query, mail, and a way back.

Durable effects, in this order: originals stored → error rows stored → notice sent to the load queue → fingerprints
counted → copies sent to the reprocess queue → (by the intake) dead letters deleted. Where the originals are large, the
first two come several times before the third.

    dies after the originals    an object that nobody points to; the letters come again, in another grouping
    dies after the rows         files that nobody was told about; the letters come again, and their rows in other files
    dies after the notice       the rows are loaded, and come again in other files; each `error_id` stays one row
    dies after the count        counted once: each letter is remembered, up to `states.LETTERS_MAX` of a fingerprint
    dies after the copies       copies are there twice; whoever claims them settles those of one `error_id` together

The same batch tried again writes the same addresses, where the objects of the first try are found and announced: what
a notice says of them depends on the letters alone.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from service.core.datasets import Dataset
from service.core.errors_dataset import ERRORS
from service.core.layer import Outcome
from service.core.model import Batch, Message, Outgoing, Sorted, utf8_bytes
from service.core.notice import FileNotice
from service.core.ports import Means, Queue
from service.core.zones import Zone
from service.quarantine.arrivals import Arrivals, Check, Failure, Source
from service.quarantine.counted import failed_of
from service.quarantine.earliest import with_earliest
from service.quarantine.portions import Portion, Portions
from service.quarantine.records import RecordReader
from service.quarantine.states import Failed

FILES_A_NOTICE = 64
"""As many as refine names in one. A batch's failures are nearly always of a day or two."""


class Counts(Protocol):
    """Where failures are counted for mail: `states.States`."""

    async def count(self, failures: Sequence[Failed], batch_id: str) -> None:
        """Count them, once for each id."""
        ...


@dataclass(frozen=True, slots=True)
class Ways:
    """Where a batch goes."""

    load_queue: Queue
    reprocess_queue: Queue
    states: Counts


@dataclass(frozen=True, slots=True)
class Skills:
    """What other layers know: to open a raw file at given places, and what is wrong with a message of their queue."""

    read: RecordReader
    check: Check


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A batch is quarantined. `about_errors` dead letters told of error files themselves: they make no error row."""

    source: Source
    letters: int
    records: int
    about_errors: int


@dataclass(frozen=True, slots=True)
class _Stored:
    """What a batch has left in the errors zone, and what is still to be told of it."""

    portions: Sequence[Portion]
    failed: Sequence[tuple[str, Failed]]
    copies: Sequence[Outgoing]
    told: Quarantined


class Quarantine:
    """Takes everything that comes out of one layer's dead-letter queue. There is nothing that it rejects."""

    def __init__(
        self,
        source: Source,
        *,
        zones: tuple[Zone, Zone],
        datasets: Mapping[str, Dataset],
        skills: Skills,
        ways: Ways,
        told: Callable[[Quarantined], None],
        means: Means,
    ) -> None:
        self.name = f"quarantine-{source}"
        self._source: Source = source
        _, self._errors = zones
        self._arrivals = Arrivals(source, zones=zones, datasets=datasets, check=skills.check)
        self._portions = Portions(self._errors, read=skills.read, datasets=datasets, means=means)
        self._ways = ways
        self._told = told
        self._means = means

    def sort(self, message: Message) -> Sorted[None]:
        """All on one pile, so that files are few and large; a letter takes as much room as it names records."""
        return Sorted(ERRORS.name, None, items=self._arrivals.records(message), size_bytes=utf8_bytes(message.body))

    async def handle(self, batch: Batch[None]) -> Outcome[None]:
        """Make every failure of the batch durable, countable and ready to be sent back."""
        reached: set[str] = batch.progress.setdefault("reached", set())
        stored: _Stored | None = batch.progress.get("stored")
        if stored is None:
            stored = batch.progress["stored"] = await self._store(batch)
        if "announced" not in reached:
            await self._announce(batch, stored.portions)
            reached.add("announced")
        if "counted" not in reached:
            states = self._ways.states
            await self._means.fan_out.run(states.count([failed], batch_id) for batch_id, failed in stored.failed)
            reached.add("counted")
        await self._ways.reprocess_queue.send(stored.copies)
        self._told(stored.told)
        return Outcome()

    async def _store(self, batch: Batch[None]) -> _Stored:
        messages = list({held.message.message_id: held.message for held in batch.held}.values())
        failures = await self._means.threads.run(self._failures, messages)
        portions = await self._portions.store(batch, await self._means.threads.run(with_earliest, failures))
        counts: Counter[str] = Counter()
        for portion in portions:
            counts.update(portion.counts)
        about_errors = sum(failure.about_errors for failure in failures)
        told = Quarantined(self._source, len(failures), sum(counts.values()), about_errors)
        uri = portions[0].originals_uri
        copies = list({copy.body: copy for copy in (failure.on_its_way(uri) for failure in failures)}.values())
        return _Stored(portions, failed_of(failures, counts), copies, told)

    def _failures(self, messages: Sequence[Message]) -> list[Failure]:
        """The latest report first: of several about one failure it counts."""
        failures = [self._arrivals.failure(message) for message in messages]
        return sorted(failures, key=lambda failure: failure.last_failed_at, reverse=True)

    async def _announce(self, batch: Batch[None], portions: Sequence[Portion]) -> None:
        notices = [
            FileNotice(
                dataset=ERRORS.name,
                zone=self._errors.name,
                files=portion.files[start : start + FILES_A_NOTICE],
                columns=ERRORS.stored_columns,
                batch_id=portion.batch_id,
                definition=ERRORS.definition,
                produced_at=batch.sealed_at,
                event_time=ERRORS.event_time,
            )
            for portion in portions
            for start in range(0, len(portion.files), FILES_A_NOTICE)
        ]
        if notices:
            await self._ways.load_queue.send([Outgoing(notice.to_json()) for notice in notices])
