"""A batch of failures on its way into files, raw file by raw file, so that one of them is in memory at a time."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from service.core.datasets import Dataset
from service.core.dead_letter import Place
from service.core.errors import RejectedError
from service.core.zones import Zone
from service.quarantine.arrivals import Failure
from service.quarantine.originals import Originals
from service.quarantine.preview import Preview
from service.quarantine.records import Block, Landed, RecordReader, messages_block, record_blocks
from service.quarantine.rows import ErrorFile, ErrorRows


@dataclass(frozen=True, slots=True)
class Made:
    """A batch's files, not yet stored, and how many failures each letter brought that no other one had."""

    originals: bytes | None
    files: Sequence[ErrorFile]
    counts: Mapping[str, int]


class Making:
    """Gathers originals and error rows of one batch, each failure once. Everything here is work for a thread."""

    def __init__(
        self,
        errors: Zone,
        batch_id: str,
        sealed_at: datetime,
        originals_uri: str,
        *,
        read: RecordReader,
        datasets: Mapping[str, Dataset],
    ) -> None:
        self._originals = Originals()
        self._rows = ErrorRows(errors, batch_id=batch_id, sealed_at=sealed_at, originals_uri=originals_uri)
        self._read = read
        self._datasets = datasets
        self._previews: dict[tuple[str, str | None], Preview | None] = {}
        self._known: set[str] = set()
        self._counts: Counter[str] = Counter()

    @property
    def size_bytes(self) -> int:
        """Of the originals so far, as they will be stored; error rows are hardly ever more."""
        return self._originals.size_bytes

    def records(self, failures: Sequence[Failure], raw: bytes | None) -> None:
        """Take failed records of one raw file; None where it is gone."""
        for failure in failures:
            for block in record_blocks(failure, raw, self._known, self._landed, self._show):
                self._add(block)

    def messages(self, failures: Sequence[Failure]) -> None:
        """Take messages that failed whole."""
        self._add(messages_block(failures, self._known, self._show))

    def close(self) -> Made:
        """The files; there is none of originals where nothing was found of them."""
        originals = self._originals.close()
        return Made(originals if self._originals.rows else None, self._rows.close(), self._counts)

    def _add(self, block: Block) -> None:
        self._originals.add(block)
        self._rows.add(block)
        self._counts.update(block.failures[of].letter_id for of in block.of)

    def _landed(self, raw: bytes, places: Sequence[Place]) -> Sequence[Landed | None]:
        try:
            return self._read(raw, places)
        except RejectedError:
            return [None] * len(places)

    def _show(self, failure: Failure, text: str) -> str | None:
        wanted = failure.dataset, failure.field
        if wanted not in self._previews:
            dataset = self._datasets.get(failure.dataset)
            self._previews[wanted] = None if dataset is None else Preview.of(dataset, failure.field)
        preview = self._previews[wanted]
        return None if preview is None else preview(text)
