"""Layer 1 to 2: raw objects become refined ones.

Durable effects for each raw file, in this order: rejections sent to dead letters → refined objects stored → notice
sent to the load queue → (by the intake) refine notice deleted.

    dies after the dead letters    the file is refined again; the same letters have the same error ids
    dies after the objects         the file is refined again; the objects lie there already and are described
    dies after the notice          the same files are announced twice; the ledger loads each once

A notice about single records (`rows`) is about what was rejected before: it neither makes its dataset pause nor lets it
go on. What it makes is loaded beside what the raw file gave before; `_record_id` drops what is there.

Objects never change: another definition of the dataset writes other addresses. Where one lies already, the notice tells
what is in it: an earlier run may have had other limits. Only what cannot be read there gives way: nothing can be
announced of it, and each later try would meet it.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from service.core.datasets import UNDEFINED
from service.core.dead_letter import PLACES_MAX, DeadLetter
from service.core.errors import RejectedError, TransientError, undefined
from service.core.events import FileRefined, RecordsRejected
from service.core.layer import Outcome
from service.core.model import Batch, Message, Outgoing, Sorted
from service.core.notice import FILES_MAX, File, FileNotice
from service.core.ports import Letters, Means, Queue, Stored
from service.core.slices import slices
from service.core.tolerance import Tolerance
from service.core.zones import Place, Zone, raw_place, refined_key
from service.refine.accept import accepted
from service.refine.compile import Program
from service.refine.execute import Judged, Keys, Rejection, judge, judge_rows
from service.refine.write import Part, parts, read_part

Fate: TypeAlias = RejectedError | float | None
"""Rejected, deferred for so many seconds, or done."""


@dataclass(frozen=True, slots=True)
class RefineTerms:
    """`memory_bytes_max` is for one file; `partitions_max` is the most files that one notice names."""

    keys: Keys
    memory_bytes_max: int
    partitions_max: int


@dataclass(frozen=True, slots=True)
class Origin:
    """Where refined files come from: the raw file's place, and the hash that goes into their names."""

    place: Place
    definition: str


class _TooMuchRejectedError(Exception):
    """Nothing of the file was made durable; it waits until its dataset is tried again."""


class Refine:
    """Opens, maps, casts, masks and splits by event date."""

    name = "refine"

    def __init__(
        self,
        programs: Mapping[str, Program],
        *,
        zones: tuple[Zone, Zone],
        load_queue: Queue,
        letters: Letters,
        terms: RefineTerms,
        tolerance: Tolerance,
        means: Means,
    ) -> None:
        self._programs = programs
        self._raw, self._refined = zones
        self._load_queue = load_queue
        self._letters = letters
        self._terms = terms
        self._tolerance = tolerance
        self._means = means

    def sort(self, message: Message) -> Sorted[FileNotice]:
        """By dataset."""
        return accepted(message, self._raw, self._programs)

    async def handle(self, batch: Batch[FileNotice]) -> Outcome[FileNotice]:
        """Refine the batch's files one after the other; a file that cannot be read costs only itself.

        Where more is rejected than data explain, the dataset pauses and its notices are deferred. When an outage ends
        the work half-way, the next try of the batch goes on where this one stopped.
        """
        fates: list[Fate] = batch.progress.setdefault("fates", [])
        told: set[str] = batch.progress.setdefault("told", set())
        for held in batch.held[len(fates) :]:
            fates.append(await self._fate(held.value, told))  # noqa: PERF401 (each counts as soon as it is known)
        rejected = [
            (held, fate) for held, fate in zip(batch.held, fates, strict=True) if isinstance(fate, RejectedError)
        ]
        deferred = [(held, fate) for held, fate in zip(batch.held, fates, strict=True) if isinstance(fate, float)]
        return Outcome(rejected, deferred)

    async def _fate(self, notice: FileNotice, told: set[str]) -> Fate:
        pile = notice.dataset if notice.dataset in self._programs else UNDEFINED
        if not self._tolerance.paused_seconds(pile):
            try:
                if pile == UNDEFINED:
                    self._check_undefined(notice)
                for file in notice.files:
                    await self._refine(notice, file, told)
            except RejectedError as wrong:
                return wrong
            except _TooMuchRejectedError:
                pass
            else:
                return None
        return self._tolerance.paused_seconds(pile)

    def _check_undefined(self, notice: FileNotice) -> None:
        """Reject it, unless so much has no definition that the definitions must be what is wrong."""
        messages = max(1, sum(file.rows for file in notice.files))
        if not self._tolerance.takes(UNDEFINED, notice.batch_id, messages, messages):
            raise _TooMuchRejectedError
        self._tolerance.count(UNDEFINED, notice.batch_id, messages, messages)
        raise undefined()

    async def _refine(self, notice: FileNotice, file: File, told: set[str]) -> None:
        began = self._means.clock.monotonic()
        program = self._programs[notice.dataset]
        raw = await self._read(file)
        judged = await self._judged(notice, file, raw)
        whole = not notice.rows
        if whole and not self._tolerance.takes(notice.dataset, file.uri, file.rows, judged.messages_rejected):
            raise _TooMuchRejectedError
        definition = definition_of(program.dataset.definition, notice)
        what = file.uri if whole else f"{file.uri} {definition}"
        if what not in told:
            await self._send_letters(notice, file, judged.rejections)
            told.add(what)
        made = await self._means.threads.run(parts, judged.good, program.dataset.event_time)
        origin = Origin(raw_place(self._raw, file.uri), definition)
        files = await self._means.fan_out.run(self._store(part, origin, program) for part in made)
        for announced in self._announcements(notice, origin, program, files):
            await self._load_queue.send([Outgoing(announced.to_json())])
        if whole:
            self._tolerance.count(notice.dataset, file.uri, file.rows, judged.messages_rejected)
        for rejection in judged.rejections:
            code = rejection.fault.code
            self._means.emit(RecordsRejected(self.name, notice.dataset, code, len(rejection.places)))
        self._means.emit(
            FileRefined(
                dataset=notice.dataset,
                records=judged.records,
                refined=judged.good.num_rows,
                rejected=judged.records - judged.good.num_rows,
                files=len(files),
                size_bytes=sum(one.content_length_bytes for one in files),
                seconds=self._means.clock.monotonic() - began,
            )
        )

    async def _read(self, file: File) -> bytes:
        """The raw file, whole: one that came short is no bad file. An object that is another one is judged as it is."""
        raw = await self._means.store.get(file.uri)
        if len(raw) != file.content_length_bytes:
            there = await self._means.store.describe(file.uri)
            if there is None or there.content_length_bytes != len(raw):
                raise TransientError("s3", "a raw file came otherwise than it lies there")
        return raw

    async def _judged(self, notice: FileNotice, file: File, raw: bytes) -> Judged:
        program, terms = self._programs[notice.dataset], self._terms
        if notice.rows:
            return await self._means.threads.run(
                judge_rows, raw, file.uri, notice.rows, program, terms.keys, terms.memory_bytes_max
            )
        return await self._means.threads.run(judge, raw, file.uri, program, terms.keys, terms.memory_bytes_max)

    async def _send_letters(self, notice: FileNotice, file: File, rejections: Sequence[Rejection]) -> None:
        now = self._means.clock.now()
        dataset = self._programs[notice.dataset].dataset
        letters = [
            DeadLetter(
                layer=self.name,
                dataset=dataset.name,
                code=rejection.fault.code,
                sentence=rejection.fault.sentence,
                column=rejection.fault.column,
                failed_at=now,
                attempts=notice.attempt + 1,
                definition=dataset.definition,
                raw_file=file.uri,
                places=places,
                round_id=notice.round_id,
                first_failed_at=notice.first_failed_at,
            )
            for rejection in rejections
            for places in slices(rejection.places, PLACES_MAX)
        ]
        await self._letters.send(letters)

    async def _store(self, part: Part, origin: Origin, program: Program) -> File:
        key = refined_key(origin.place.dataset, part.partition, origin.place.batch_id, origin.definition)
        stored = await self._means.store.put_new(self._refined.uri(key), part.body)
        if not stored.new:
            part = await self._there(stored, part, program.dataset.event_time)
        return File(
            uri=stored.uri,
            etag=stored.etag,
            content_length_bytes=stored.content_length_bytes,
            rows=part.rows,
            event_time_min=part.event_time_min,
            event_time_max=part.event_time_max,
        )

    async def _there(self, stored: Stored, part: Part, event_time: str) -> Part:
        """What is in the object that lay there already."""
        try:
            body = await self._means.store.get(stored.uri)
        except RejectedError:  # a replay or a rule removed it just now: the next try stores it anew
            raise TransientError("s3", "an object of the refined zone vanished while it was looked at") from None
        if len(body) != stored.content_length_bytes:
            raise TransientError("s3", "an object of the refined zone came otherwise than it lies there")
        there = await self._means.threads.run(read_part, part.partition, body, event_time)
        if there is None:
            # Only if it is still that object: what somebody else has stored there since may be announced.
            await self._means.store.replace(stored.uri, part.body, etag=stored.etag)
            raise TransientError("s3", "an object of the refined zone could not be read, and was replaced")
        return there

    def _announcements(
        self, notice: FileNotice, origin: Origin, program: Program, files: Sequence[File]
    ) -> Iterator[FileNotice]:
        """Notices for the load queue; a replay has one, because it is loaded whole or not at all.

        Its moment is that of the refine notice: against a replay it counts what was asked for last, not refined last.
        """
        told = FileNotice(
            dataset=origin.place.dataset,
            zone=self._refined.name,
            files=files,
            columns=program.dataset.stored_columns,
            batch_id=origin.place.batch_id,
            definition=origin.definition,
            produced_at=notice.produced_at,
            event_time=program.dataset.event_time,
        )
        if notice.replaces is not None:
            if len(files) > FILES_MAX:
                raise RejectedError("too_large", f"the raw file has more than {FILES_MAX} partitions now")
            yield replace(told, replaces=notice.replaces)
            return
        for some in slices(files, self._terms.partitions_max):
            yield replace(told, files=some)


def definition_of(definition: str, notice: FileNotice) -> str:
    """The hash in the names of a raw file's refined files: of the definition, in a replay together with its moment.

    So no two replays write to the same address, and what one replaces can be removed whatever the others do. Of records
    that are sent back it covers their places too: one moment may have several such notices about a file.
    """
    if notice.replaces is None and not notice.rows:
        return definition
    facts = f"{definition} {notice.produced_at.isoformat()}" + (f" {json.dumps(notice.rows)}" if notice.rows else "")
    return hashlib.sha256(facts.encode()).hexdigest()[: len(definition)]
