"""What a run left behind, read from its stores: raw and refined files, notices, letters. Nobody's word is taken."""

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from io import BytesIO
from typing import Any

import pyarrow.parquet as pq

from service.core.datasets import Dataset
from service.core.dead_letter import MARKER
from service.core.errors import RejectedError
from service.core.errors_dataset import ERRORS
from service.core.marks import MARK_ATTRIBUTE
from service.core.notice import FileNotice
from service.core.zones import batch_of
from service.load.ledger import Entry
from service.refine.refine import definition_of
from tests.simulation.dead import DeadLetters
from tests.simulation.producers import Sent
from tests.simulation.run import BrokenError, Run

Row = dict[str, Any]
Letter = dict[str, Any]
Place = tuple[int, int]


class Facts:
    """Read once, each when it is first asked for."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._rows: dict[str, list[Row]] = {}
        self.effects = list(zip(run.world.journal.effects, run.world.journal.details, strict=True))

    @cached_property
    def datasets(self) -> dict[str, Dataset]:
        """All that have a table: the defined ones, and that of what failed where it is filled."""
        return self.run.datasets | ({ERRORS.name: ERRORS} if self.run.plan.quarantined else {})

    def rows(self, uri: str) -> list[Row]:
        """The rows of a file that lay in the store at some time."""
        if uri not in self._rows:
            file = pq.ParquetFile(BytesIO(self.run.objects[uri]))
            self._rows[uri] = file.read(use_threads=False).to_pylist()
        return self._rows[uri]

    def sent(self, queue: str) -> list[tuple[str, str]]:
        """Ids and bodies of all that ever went to a queue."""
        return [(message_id, out.body) for message_id, out in self.run.world.queues[queue].sent.items()]

    @cached_property
    def letters(self) -> dict[str, list[tuple[str, Letter]]]:
        """By dead-letter queue: ids of messages, and what stands in them."""
        strays = self.run.strays
        return {
            queue: [(name, json.loads(body)) for name, body in self.sent(queue) if name not in strays]
            for queue in self.run.world.queues
            if queue.endswith("-dlq")
        }

    @cached_property
    def dead(self) -> DeadLetters:
        """All that came to dead-letter queues, whoever sent it."""
        return DeadLetters(self.run, self.letters)

    def original(self, letter: Letter) -> Mapping[str, Any]:
        """The message that a letter is about, in the end: a letter may be about a letter that somebody sent back."""
        original: Mapping[str, Any] = letter["original"]
        if "uri" in original:
            if original["uri"] not in self.run.objects:
                raise BrokenError(f"I1: a letter points to {original['uri']}, which was never stored")
            original = json.loads(self.run.objects[original["uri"]])
        inner = _envelope(original["body"])
        return self.original(inner) if inner is not None and "original" in inner else original

    def notices(self, queue: str) -> Iterator[tuple[str, FileNotice]]:
        """Our notices among all that ever went to a queue; those in letters that were sent back too."""
        for message_id, body in self.sent(queue):
            try:
                yield message_id, FileNotice.from_json(body)
            except RejectedError:
                continue

    @cached_property
    def raw_files(self) -> dict[str, list[Row]]:
        """By address: raw files that were announced."""
        named = {file.uri for _, notice in self.notices("refine") for file in notice.files}
        return {uri: self.rows(uri) for uri in sorted(named)}

    def message_of(self, row: Row) -> str:
        """The id that the queue gave the message in a row of a raw file, which may stand there with its first one."""
        mark = json.loads(row["attributes"] or "{}").get(MARK_ATTRIBUTE)
        return str(row["message_id"]) if mark is None else self._marked[mark["value"]]

    def alike(self, message_id: str) -> str:
        """The first message with the same mark: of what was sent back twice nobody can say which one was landed."""
        mark = self.run.marks.get(message_id)
        return message_id if mark is None else self._marked[mark.attribute().value]

    @cached_property
    def _marked(self) -> dict[str | bytes, str]:
        return {mark.attribute().value: name for name, mark in reversed(self.run.marks.items())}

    def truth(self, raw_file: str) -> list[tuple[int, Sent]]:
        """What the producers know about each row of a raw file."""
        return [(row, self.run.sent_of(self.message_of(one))) for row, one in enumerate(self.raw_files[raw_file])]

    def refined(self, notice: FileNotice) -> list[str]:
        """The files that refine made of what that notice names; those of a replay are others."""
        had = self.run.definitions[notice.dataset]
        ends = tuple(
            f"{batch_of(file.uri)}.{definition_of(one, notice)}.parquet" for file in notice.files for one in had
        )
        return sorted(uri for uri in self.run.objects if uri.endswith(ends))

    @cached_property
    def replays(self) -> dict[str, list[FileNotice]]:
        """By raw file: the replays of it that refine announced and that were not rejected, the latest last."""
        found: dict[str, list[FileNotice]] = {}
        for _, notice in self.notices("load"):
            if notice.replaces is not None and not {file.uri for file in notice.files} & self.given_up_refined:
                found.setdefault(notice.replaces.raw_file, []).append(notice)
        return {raw_file: sorted(ones, key=lambda one: one.produced_at) for raw_file, ones in found.items()}

    @cached_property
    def given_up_raw(self) -> set[str]:
        """Raw files that were rejected whole."""
        return set(self._given_up("refine-dlq"))

    @cached_property
    def given_up_refined(self) -> set[str]:
        """Files of notices that were rejected on their way into the warehouse."""
        return set(self._given_up("load-dlq"))

    def files_of(self, letter: Letter) -> list[str]:
        """The files of the notice that a letter is about; none where it is about a letter about records."""
        body = self.original(letter)["body"]
        return [] if _envelope(body) is not None else [file.uri for file in FileNotice.from_json(body).files]

    @cached_property
    def places(self) -> dict[str, set[Place]]:
        """By raw file: which of its records have a letter."""
        found: dict[str, set[Place]] = {}
        for _, letter in self.letters["refine-dlq"]:
            inner = self._innermost(letter)
            if "places" in inner:
                found.setdefault(inner["raw_file"], set()).update((row, index) for row, index in inner["places"])
        return found

    def entries(self, dataset: str) -> dict[str, Entry]:
        """The ledger of a dataset."""
        return {uri: Entry(*row) for uri, row in self.run.world.warehouse.entries(dataset).items()}

    def ledger_uris(self, dataset: str) -> list[str]:
        """The file of each row of a dataset's ledger."""
        return [row[0] for row in self.run.world.warehouse.ledger_rows(dataset)]

    def _given_up(self, queue: str) -> Iterable[str]:
        for _, letter in self.letters[queue]:
            if "original" in letter:
                yield from self.files_of(letter)

    def _innermost(self, letter: Letter) -> Letter:
        """A letter, or the one that it is about."""
        inner = _envelope(letter["original"]["body"]) if "body" in letter.get("original", {}) else None
        return letter if inner is None else self._innermost(inner)


def _envelope(body: str) -> Letter | None:
    """A body as one of our letters, if it is one."""
    if MARKER not in body:
        return None
    given: Letter = json.loads(body)
    return given
