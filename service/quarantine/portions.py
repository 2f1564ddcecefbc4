"""A batch of failures made durable in portions, so that memory is bounded by bytes, however long the records are.

A letter of refine's only names places: what it brings along shows when its raw file is read. So the files of a portion
are stored as soon as its originals have grown large, before the next raw file is read. All that is about one raw file
is in one portion. The first has the batch's own id, so that nearly every batch is one portion and bears its name.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.core.datasets import Dataset
from service.core.errors import RejectedError
from service.core.model import Batch
from service.core.notice import File
from service.core.ports import Means
from service.core.zones import Zone, originals_key
from service.quarantine.arrivals import Failure
from service.quarantine.made import Making
from service.quarantine.records import RecordReader
from service.quarantine.rows import ErrorFile

PORTION_BYTES = 16 * 1024**2
"""Of originals, compressed. A portion has that much and one raw file's more; making it takes three times as much."""

Group = tuple[str | None, Sequence[Failure]]
"""Failures about one raw file, or about none."""


@dataclass(frozen=True, slots=True)
class Portion:
    """What is stored of a batch: how many groups of it, in which files, how many failures each letter brought."""

    batch_id: str
    originals_uri: str
    groups: int
    files: Sequence[File]
    counts: Mapping[str, int]


class Portions:
    """Stores batches. What a try of a batch has stored, the next one does not do again."""

    def __init__(self, errors: Zone, *, read: RecordReader, datasets: Mapping[str, Dataset], means: Means) -> None:
        self._errors = errors
        self._read = read
        self._datasets = datasets
        self._means = means

    async def store(self, batch: Batch[None], failures: Sequence[Failure]) -> Sequence[Portion]:
        """Originals and error rows of all of them; there is at least one. Messages that failed whole come first."""
        groups = grouped(failures)
        portions: list[Portion] = batch.progress.setdefault("portions", [])
        while (done := sum(portion.groups for portion in portions)) < len(groups):
            portions.append(await self._portion(batch, len(portions), groups[done:]))
        return portions

    async def _portion(self, batch: Batch[None], number: int, groups: Sequence[Group]) -> Portion:
        """Of as many of the groups as it takes to make it large."""
        batch_id = _id(batch.batch_id, number)
        uri = self._errors.uri(originals_key(batch.sealed_at, batch_id))
        making = Making(self._errors, batch_id, batch.sealed_at, uri, read=self._read, datasets=self._datasets)
        taken = 0
        for raw_file, same in groups:
            await self._take(making, raw_file, same)
            taken += 1
            if making.size_bytes >= PORTION_BYTES:
                break
        made = await self._means.threads.run(making.close)
        if made.originals is not None:
            await self._means.store.put_new(uri, made.originals)
        files = await self._means.fan_out.run(self._put(file) for file in made.files)
        return Portion(batch_id, uri, taken, files, made.counts)

    async def _take(self, making: Making, raw_file: str | None, same: Sequence[Failure]) -> None:
        if raw_file is None:
            await self._means.threads.run(making.messages, same)
        else:
            raw = await self._raw(raw_file) if all(failure.opened for failure in same) else None
            await self._means.threads.run(making.records, same, raw)

    async def _raw(self, uri: str) -> bytes | None:
        try:
            return await self._means.store.get(uri)
        except RejectedError:
            return None

    async def _put(self, file: ErrorFile) -> File:
        stored = await self._means.store.put_new(file.uri, file.body)
        return File(
            uri=stored.uri,
            etag=stored.etag,
            content_length_bytes=stored.content_length_bytes,
            rows=file.rows,
            event_time_min=file.event_time_min,
            event_time_max=file.event_time_max,
        )


def grouped(failures: Sequence[Failure]) -> list[Group]:
    """By raw file, in the order in which each comes first; those about none before all others."""
    whole: list[Failure] = []
    by_file: dict[str, list[Failure]] = {}
    for failure in failures:
        pile = whole if failure.raw_file is None else by_file.setdefault(failure.raw_file, [])
        pile.append(failure)
    groups: list[Group] = [(None, whole)] if whole else []
    return [*groups, *by_file.items()]


def _id(batch_id: str, number: int) -> str:
    """In the shape of a batch's id: its moment, and a hash."""
    if number == 0:
        return batch_id
    moment, _, _ = batch_id.rpartition("-")
    return f"{moment}-{hashlib.sha256(f'{batch_id} {number}'.encode()).hexdigest()[:16]}"
