"""What the errors dataset says of a dataset's raw files: which records were rejected, and what became of them since.

Its files are read once for all days asked for, and only these columns; a row stays in memory for each rejected record
of these days.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from service.core.errors import SetupError
from service.core.errors_dataset import ERRORS, State
from service.upkeep.days import Days
from service.upkeep.tools import Tools

COLUMNS = (
    "error_id",
    "layer",
    "dataset",
    "raw_file",
    "row_index",
    "record_index",
    "state",
    "last_failed_at",
    "updated_at",
    "_received_at",
)
STATES: tuple[State, ...] = ("resolved", "reprocessed", "open", "parked")
"""In the order of what they say: of one record's failures the last of these counts."""
SENT_BACK, WAITING = STATES.index("reprocessed"), STATES.index("open")
WHOLE = -1
"""In place of a raw file's number: a failure of whole files, whose row does not say of which raw file."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """Of one raw file: records that wait to be mended, records that were sent back, and whether the file as a whole was
    rejected, or is sent back. `sent_at` is when that was sent back which waits longest; UTC without a zone. `mended`
    are the records that were sent back, those included that came of it.
    """

    waiting: int = 0
    sent_back: int = 0
    whole: bool = False
    sent_at: datetime | None = None
    whole_sent_back: bool = False
    mended: int = 0


@dataclass(frozen=True, slots=True)
class Rejections:
    """The rejected records of some days, ordered by raw file; and how many failures of whole files are open."""

    rows: pa.Table
    spans: Mapping[str, tuple[int, int]]
    whole_files: int = 0

    def of(self, raw_file: str, since: datetime | None) -> Rejected:
        """What was rejected of that raw file since the moment (UTC without a zone) at which it was refined last."""
        start, length = self.spans.get(raw_file, (0, 0))
        states: dict[tuple[int, int] | None, int] = {}
        sent: dict[tuple[int, int] | None, datetime] = {}
        for row in self.rows.slice(start, length).to_pylist():
            if since is None or row["last_failed_at"] >= since:
                place = None if row["row_index"] is None else (row["row_index"], row["record_index"] or 0)
                states[place] = max(states.get(place, 0), row["state"])
                if row["state"] == SENT_BACK:
                    sent[place] = max(row["_received_at"], sent.get(place, row["_received_at"]))
        back = [sent[place] for place, state in states.items() if state == SENT_BACK]
        whole = states.pop(None, 0)
        waiting = sum(state >= WAITING for state in states.values())
        records, mended = sum(state == SENT_BACK for state in states.values()), len(states) - waiting
        return Rejected(waiting, records, whole >= WAITING, min(back, default=None), whole == SENT_BACK, mended)


@dataclass(slots=True)
class _Latest:
    """Rows of many files: raw files as numbers, states as their place in `STATES`; of each failure the latest."""

    pieces: list[pa.Table] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)

    def add(self, body: bytes, dataset: str, prefix: str, days: Days) -> bool:
        """Take what an errors file says of these days; False where it cannot be read."""
        try:
            rows = _chosen(body, dataset, prefix, days)
        except (pa.ArrowException, OSError, KeyError):
            return False
        uris = rows.column("raw_file").unique()
        numbers = pa.array([self.numbers.setdefault(uri, len(self.numbers)) for uri in uris.to_pylist()], pa.int32())
        files = numbers.take(pc.index_in(rows.column("raw_file"), value_set=uris).combine_chunks())
        states = pc.index_in(rows.column("state"), value_set=pa.array(STATES)).fill_null(WAITING).cast(pa.int8())
        whole = pc.or_(pc.equal(rows.column("layer"), "load"), pc.is_null(rows.column("raw_file")))
        self.pieces.append(
            rows.select(["error_id", "row_index", "record_index", "last_failed_at", "updated_at", "_received_at"])
            .append_column("state", states)
            .append_column("file", pc.if_else(whole, pa.scalar(WHOLE, pa.int32()), files))
        )
        return True

    def result(self) -> "Rejections":
        """By raw file."""
        if not self.pieces:
            return Rejections(pa.table({}), {})
        rows = pa.concat_tables(self.pieces)
        self.pieces.clear()
        order = pc.sort_indices(rows, sort_keys=[("error_id", "ascending"), ("updated_at", "descending")])
        ids = rows.column("error_id").take(order).combine_chunks()
        first = pa.array([True]) if len(ids) else pa.array([], pa.bool_())
        changes = pc.not_equal(ids.slice(1), ids.slice(0, max(0, len(ids) - 1)))
        order = order.filter(pa.concat_arrays([first, changes]))
        rows = rows.drop_columns(["error_id", "updated_at"]).take(order).sort_by("file")
        whole = rows.filter(pc.equal(rows.column("file"), WHOLE)).column("state")
        failures = sum(state >= WAITING for state in whole.to_pylist())
        return Rejections(rows, _spans(rows.column("file").combine_chunks(), [*self.numbers]), failures)


async def rejections(tools: Tools, dataset: str, days: Days) -> Rejections:
    """Read the errors dataset from the first of these days on: a record is rejected when it has arrived, or later.

    SetupError names a file of it that cannot be read: without it nobody can tell what was rejected.
    """
    latest, prefix = _Latest(), tools.lake.raw_prefix(dataset)
    async for uri in tools.lake.error_files(ERRORS.name, days.first):
        found = await tools.store.read(uri)
        if found is not None and not await tools.threads.run(latest.add, found[0], dataset, prefix, days):
            raise SetupError(f"{uri} cannot be read as an error file: restore it, or move it away")
    return await tools.threads.run(latest.result)


def _chosen(body: bytes, dataset: str, prefix: str, days: Days) -> pa.Table:
    rows = pq.read_table(pa.BufferReader(body), columns=list(COLUMNS))
    day = pc.utf8_slice_codeunits(rows.column("raw_file"), len(prefix) + 3, len(prefix) + 13)
    arrived = pc.and_(pc.greater_equal(day, f"{days.first}"), pc.less_equal(day, f"{days.last}"))
    of_load = pc.equal(rows.column("layer"), "load")
    of_refine = pc.and_kleene(pc.equal(rows.column("layer"), "refine"), pc.fill_null(arrived, fill_value=True))
    mine = pc.and_(
        pc.fill_null(pc.equal(rows.column("dataset"), dataset), fill_value=False), pc.or_(of_load, of_refine)
    )
    return rows.filter(mine).drop_columns(["dataset"])


def _spans(files: pa.Array, uris: Sequence[str]) -> Mapping[str, tuple[int, int]]:
    encoded, start = pc.run_end_encode(files), 0
    found: dict[str, tuple[int, int]] = {}
    for number, end in zip(encoded.values.to_pylist(), encoded.run_ends.to_pylist(), strict=True):
        if number != WHOLE:
            found[uris[number]] = (start, end - start)
        start = end
    return found
