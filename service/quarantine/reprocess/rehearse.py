"""What would become of the chosen under the definitions of now: the layers' own code judges it, nothing is sent.

The errors zone is read, one file of originals at a time; and where a notice failed, the files that it names.
"""

import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from service.core.dead_letter import Place, read_original
from service.core.errors import Code
from service.core.model import Attribute, Original
from service.core.notice import WHOLE_MESSAGE, rows_to_replay
from service.core.ports import Means
from service.core.zones import Zone
from service.quarantine.arrivals import ORIGINALS
from service.quarantine.originals import SCHEMA
from service.quarantine.reprocess.table import Item

SPECIMENS_MAX = 10_000
"""So many are judged at a time, of one layer and dataset."""
SPECIMEN_BYTES_MAX = 32 * 1024 * 1024
"""What waits for judgement, of all layers and datasets together."""
ROWS_AT_A_TIME = 32
"""Rows that are decoded at once: each may be as long as a message."""
PIECE_BYTES = 4 * 1024 * 1024
"""Of one object's originals so much, and what was decoded with it, is in memory at a time."""
PIECE_ORIGINALS = 2_000
NOTICES_MAX = 8
"""Of notices so many, because each may be a whole file to try."""
_SENT_AT = SCHEMA.get_field_index("sent_at")
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Specimen:
    """A chosen failure with its original. `body` is the message's, or the record's text where `place` is set; where
    such a record's message cannot be opened, the message's whole body. `message_id` is the id with which it first came,
    and `opened` says that the record's message was: whatever the text is, it was one record.
    """

    error_id: str
    original: Original
    raw_file: str | None = None
    place: Place | None = None
    opened: bool = False


@dataclass(frozen=True, slots=True)
class Fault:
    """Why it would fail again; the sentence holds no value of the record. `dataset` is set where another one's
    definition has judged than the one for which it failed: it may have failed for none.
    """

    code: Code
    sentence: str
    dataset: str = ""


@dataclass(slots=True)
class Inside:
    """What would become of the records in whole files, and in messages of several records, that would be refined; those
    that fail fail one by one.
    """

    files: int = 0
    passing: int = 0
    failing: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """By dataset, code and sentence."""
    messages: int = 0

    def add(self, other: "Inside") -> None:
        """Count these too."""
        self.files += other.files
        self.messages += other.messages
        self.passing += other.passing
        self.failing.update(other.failing)


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """A fault for each specimen, None where it would pass; and the `_record_id`s of the records that would pass, one of
    each record, also where several have the same.

    `doubts` says of some why nobody can tell beforehand, by their numbers. Of what is `inside` whole files no ids are
    told, because they may be very many.
    """

    faults: Sequence[Fault | None]
    record_ids: Sequence[str] = ()
    doubts: Mapping[int, str] = field(default_factory=dict)
    inside: Inside = field(default_factory=Inside)


Rehearse = Callable[[str, str, Sequence[Specimen]], Awaitable[Rehearsed]]
"""What a layer would make of these now: the layer on whose queue they failed, their dataset (maybe empty), and them."""


@dataclass(slots=True)
class Forecast:
    """What is to be expected of the chosen. `unknown` are those whose originals are gone, or cannot be read, and `gone`
    has the error ids of the messages among them. `untold`, by the reason, are those against which nothing speaks, but
    of which nobody can tell beforehand whether they pass.
    """

    passing: int = 0
    unknown: int = 0
    untold: Counter[str] = field(default_factory=Counter)
    failing: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """By dataset, code and sentence."""
    record_ids: dict[str, Counter[str]] = field(default_factory=dict)
    """Of what would pass, by dataset: of how many records each of them is."""
    inside: Inside = field(default_factory=Inside)
    gone: set[str] = field(default_factory=set)

    @property
    def chosen(self) -> int:
        """All of them."""
        return self.passing + self.unknown + self.untold.total() + self.failing.total()

    @property
    def hopeless(self) -> bool:
        """Whether most would fail again, or most of the records inside whole files and messages."""
        failing = self.inside.failing.total()
        return 2 * self.failing.total() > self.chosen or failing > self.inside.passing

    def add(self, dataset: str, items: Sequence[Item], rehearsed: Rehearsed) -> None:
        """Take what was judged together."""
        faults = [fault for fault in rehearsed.faults if fault is not None]
        self.failing.update((fault.dataset or dataset, fault.code, fault.sentence) for fault in faults)
        self.untold.update(rehearsed.doubts.values())
        self.passing += len(items) - len(faults) - len(rehearsed.doubts)
        self.inside.add(rehearsed.inside)
        self.record_ids.setdefault(dataset, Counter()).update(rehearsed.record_ids)


class OriginalsReader:
    """Reads what failed, byte for byte."""

    def __init__(self, zone: Zone, means: Means) -> None:
        self._zone = zone
        self._means = means

    async def of(self, items: Iterable[Item]) -> AsyncIterator[tuple[Item, Specimen | None]]:
        """Each with its original; None where that is gone. Beside each other should be what lies in one object: it is
        read and decoded once, a few at a time, and they come as they lie there.
        """
        for uri, same in groupby(items, key=lambda item: item.original_uri):
            left = {item.error_id: item for item in same}
            body = await self._body(uri)
            if body is not None:
                pick = _single if uri is not None and uri.endswith(".json") else _of_batch
                pieces = pick(body, frozenset(left))
                while left and (piece := await self._means.threads.run(next, pieces, None)) is not None:
                    for specimen in piece:
                        if (item := left.pop(specimen.error_id, None)) is not None:
                            yield item, replace(specimen, opened=_opened(item))
            for item in left.values():
                yield item, None

    async def _body(self, uri: str | None) -> bytes | None:
        if uri is None or not self._zone.holds(uri) or not uri.startswith(self._zone.uri(ORIGINALS)):
            return None
        read = await self._means.store.read(uri)
        return None if read is None else read[0]


_Kind = tuple[str, str, bool]
"""What is judged together: of one layer and dataset, and whether it is notices."""


async def forecast(
    items: Sequence[Item], originals: OriginalsReader, rehearse: Rehearse, progress: Callable[[int], None]
) -> Forecast:
    """Judge all of them; `progress` is told how many more are judged."""
    found = Forecast()
    piles: dict[_Kind, list[tuple[Item, Specimen]]] = {}
    size = 0

    async def judge(*kinds: _Kind) -> None:
        nonlocal size
        for kind in kinds:
            pile, (layer, dataset, _) = piles.pop(kind), kind
            size -= sum(len(specimen.original.body) for _, specimen in pile)
            found.add(dataset, [item for item, _ in pile], await rehearse(layer, dataset, [one for _, one in pile]))
            progress(len(pile))

    async for item, specimen in originals.of(items):
        if specimen is None:
            found.unknown += 1
            if item.row_index is None:
                found.gone.add(item.error_id)
            progress(1)
            continue
        notice = item.layer != "land" and item.row_index is None
        kind = item.layer, item.dataset, notice
        pile = piles.setdefault(kind, [])
        pile.append((item, specimen))
        size += len(specimen.original.body)
        if len(pile) >= (NOTICES_MAX if notice else SPECIMENS_MAX):
            await judge(kind)
        elif size >= SPECIMEN_BYTES_MAX:
            await judge(*piles)
    await judge(*piles)
    return found


def _opened(item: Item) -> bool:
    """Whether the message was opened of which this is a record."""
    if item.row_index is None or item.record_index is None:
        return False
    [(_, index)] = rows_to_replay(item.code, item.field, [(item.row_index, item.record_index)])
    return index != WHOLE_MESSAGE


def _single(body: bytes, wanted: Iterable[str]) -> Iterator[list[Specimen]]:
    """An original that lies alone, because it was too large for its letter."""
    try:
        original = read_original(body)
    except (ValueError, TypeError, KeyError):
        return
    yield [Specimen(error_id, original) for error_id in wanted]


def _of_batch(body: bytes, wanted: Container[str]) -> Iterator[list[Specimen]]:
    """Those of a batch of dead letters, piece by piece. Each step is work for a thread."""
    piece, size = list[Specimen](), 0
    try:
        file = pq.ParquetFile(pa.BufferReader(body))
        for batch in file.iter_batches(batch_size=ROWS_AT_A_TIME, columns=SCHEMA.names, use_threads=False):
            for specimen in _those(batch, wanted):
                piece.append(specimen)
                size += len(specimen.original.body)
            if size >= PIECE_BYTES or len(piece) >= PIECE_ORIGINALS:
                yield piece
                piece, size = [], 0
    except (pa.ArrowException, OSError, ValueError):  # the last: it has other columns
        pass
    yield piece


def _those(batch: pa.RecordBatch, wanted: Container[str]) -> Iterator[Specimen]:
    rows = pa.Table.from_batches([batch]).cast(SCHEMA)
    rows = rows.filter(pa.array([one in wanted for one in rows.column("error_id").to_pylist()], pa.bool_()))
    rows = rows.set_column(_SENT_AT, SCHEMA.field(_SENT_AT), _held(rows.column(_SENT_AT)))
    return map(_specimen, rows.to_pylist())


def _held(moments: pa.ChunkedArray) -> pa.ChunkedArray:
    """The moments, but none where a letter of anybody's told one that Python's clock does not reach."""
    earliest = pa.scalar(datetime.min.replace(tzinfo=UTC), moments.type)
    latest = pa.scalar(datetime.max.replace(tzinfo=UTC), moments.type)
    sound = pc.and_(pc.greater_equal(moments, earliest), pc.less_equal(moments, latest))
    return pc.if_else(sound, moments, pa.scalar(None, moments.type))


def _specimen(row: dict[str, Any]) -> Specimen:
    attributes = {name: Attribute.from_json(value) for name, value in json.loads(row["attributes"] or "{}").items()}
    sent_at = row["sent_at"] or _LONG_AGO
    original = Original(row["message_id"] or "", sent_at, attributes, row["body"].decode("utf-8", "surrogatepass"))
    place = None if row["row_index"] is None else (row["row_index"], row["record_index"])
    return Specimen(row["error_id"], original, row["raw_file"], place)
