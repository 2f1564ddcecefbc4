"""Error rows written once more, in another state: copies of their latest versions, in files of their own.

Versions decide which row of a failure counts. A copy is a version right after the row that it takes the place of,
however late it is written: what was sent back and has failed again by then, or is seen to have failed only later, is a
later version, and counts.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from service.core.errors import SetupError
from service.core.errors_dataset import ERRORS, State
from service.core.model import Outgoing
from service.core.moments import naive, utc
from service.core.notice import File, FileNotice
from service.core.ports import Means, Queue
from service.core.zones import Zone, refined_key, refined_place
from service.quarantine.quarantine import FILES_A_NOTICE
from service.quarantine.reprocess.table import ErrorRow
from service.quarantine.rows import SCHEMA

_TICKS: Mapping[State, timedelta] = {
    "parked": timedelta(microseconds=1),
    "reprocessed": timedelta(microseconds=2),
    "resolved": timedelta(microseconds=3),
    "open": timedelta(microseconds=4),
}
"""By so much a copy is later than its row: of two that are made at once the same one counts everywhere, the one that
says more of what became of it.
"""


@dataclass(frozen=True, slots=True)
class Restating:
    """What to write: into which state, for which round; `name` tells this piece of the round's work from all others."""

    state: State
    round_id: str
    began_at: datetime
    name: str

    @property
    def batch_id(self) -> str:
        """In the files' addresses: the same for the same piece of work."""
        digest = hashlib.sha256(f"{self.round_id} {self.name}".encode()).hexdigest()[:16]
        return f"{self.began_at:%Y%m%dT%H%M%S}{self.began_at.microsecond // 1000:03d}Z-{digest}"


@dataclass(frozen=True, slots=True)
class StateFile:
    """Error rows of one day, not yet stored."""

    uri: str
    body: bytes


class Restater:
    """Makes such files, stores them, and tells the load layer."""

    def __init__(self, zone: Zone, load_queue: Queue, means: Means) -> None:
        self._zone = zone
        self._load_queue = load_queue
        self._means = means

    async def make(self, rows: Iterable[ErrorRow], restating: Restating) -> list[StateFile]:
        """The files, by day of first failure; error files that are gone are passed over, one is in memory at a time."""
        by_file: dict[str, list[str]] = {}
        for row in rows:
            by_file.setdefault(row.file, []).append(row.error_id)
        pieces = [SCHEMA.empty_table()]
        for uri, error_ids in by_file.items():
            read = await self._means.store.read(uri)
            if read is not None:
                pieces.append(await self._means.threads.run(_chosen, uri, read[0], error_ids))
        now = self._means.clock.now()
        return await self._means.threads.run(_restated, pieces, restating, self._zone, now)

    async def store(self, files: Sequence[StateFile]) -> None:
        """Have them lie there."""
        await self._means.fan_out.run(self._means.store.put_new(file.uri, file.body) for file in files)

    async def announce(self, uris: Iterable[str]) -> None:
        """Tell the load layer of those that lie there. Telling it again is harmless: its ledger knows them."""
        described = await self._means.fan_out.run(self._described(uri) for uri in uris)
        files = [file for file in described if file is not None]
        notices = [
            self._notice(files[start : start + FILES_A_NOTICE]) for start in range(0, len(files), FILES_A_NOTICE)
        ]
        if notices:
            await self._load_queue.send([Outgoing(notice.to_json()) for notice in notices])

    async def _described(self, uri: str) -> File | None:
        read = await self._means.store.read(uri)
        if read is None:
            return None
        body, etag = read
        return await self._means.threads.run(_file, uri, body, etag)

    def _notice(self, files: Sequence[File]) -> FileNotice:
        return FileNotice(
            dataset=ERRORS.name,
            zone=self._zone.name,
            files=files,
            columns=ERRORS.stored_columns,
            batch_id=refined_place(self._zone, files[0].uri).batch_id,
            definition=ERRORS.definition,
            produced_at=self._means.clock.now(),
            event_time=ERRORS.event_time,
        )


def _chosen(uri: str, body: bytes, error_ids: Sequence[str]) -> pa.Table:
    try:
        rows = pq.read_table(pa.BufferReader(body), schema=SCHEMA)
    except (pa.ArrowException, OSError):
        raise SetupError(f"{uri} cannot be read as an error file any more: restore it, or move it away") from None
    return rows.filter(pc.is_in(rows.column("error_id"), value_set=pa.array(error_ids, pa.string())))


def _restated(pieces: Sequence[pa.Table], restating: Restating, zone: Zone, now: datetime) -> list[StateFile]:
    rows = pa.concat_tables(pieces).sort_by([("first_failed_at", "ascending"), ("error_id", "ascending")])
    days = pc.cast(rows.column("first_failed_at"), pa.date32())
    files = []
    for day in pc.unique(days).to_pylist():
        uri = zone.uri(refined_key(ERRORS.name, f"dt={day}", restating.batch_id, ERRORS.definition))
        files.append(_day_file(rows.filter(pc.equal(days, day)), restating, uri, now))
    return files


def _day_file(rows: pa.Table, restating: Restating, uri: str, now: datetime) -> StateFile:
    moment = pa.timestamp("us")
    changed = {
        "state": pa.repeat(restating.state, rows.num_rows),
        "updated_at": pc.add(rows.column("updated_at"), pa.scalar(_TICKS[restating.state], pa.duration("us"))),
        "_received_at": pa.repeat(pa.scalar(naive(now), moment), rows.num_rows),
        "_raw_file": pa.repeat(uri, rows.num_rows),
    }
    if restating.state != "parked":
        changed["round_id"] = pa.repeat(restating.round_id, rows.num_rows)
    for name, column in changed.items():
        number = SCHEMA.get_field_index(name)
        rows = rows.set_column(number, SCHEMA.field(number), column)
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, compression="snappy", coerce_timestamps="us", store_schema=False)
    return StateFile(uri, bytes(sink.getvalue()))


def _file(uri: str, body: bytes, etag: str) -> File:
    moments = pq.read_table(pa.BufferReader(body), columns=[ERRORS.event_time]).column(0)
    bounds = pc.min_max(moments).as_py()
    return File(uri, etag, len(body), len(moments), utc(bounds["min"]), utc(bounds["max"]))
