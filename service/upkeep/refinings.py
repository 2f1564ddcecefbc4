"""A raw file may have been refined more than once: then it is told how many rows are of records that came before.

That is so where a notice came again after the definition had changed, and where records were sent back after a replay
had brought them. The table has each of them once; the lake has them in the files of each refining.
"""

from collections.abc import Iterable, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from service.core.errors import RejectedError
from service.core.moments import utc
from service.upkeep.explain import Bounds, Output
from service.upkeep.lake import definition_in
from service.upkeep.tools import Tools

RECORD, REFINING = "_record_id", "refining"


async def rows_again(tools: Tools, outputs: Iterable[Output], mended: int) -> Bounds:
    """Of one raw file: rows whose record stands in a file of another refining as well.

    What one refining has twice, the raw file had twice. It may have had a record twice of which one was rejected and
    came later: as many of the later refinings' rows may be new as records were `mended`. One file is read at a time,
    and some 90 bytes a row of all are kept. What is gone, or cannot be read, counts as new records.
    """
    live = [one for one in outputs if one.live and one.made is not None]
    refinings = _rows_in_order(live)
    if len(refinings) <= 1:
        return 0, 0
    pieces = []
    for one in live:
        try:
            read = await tools.read(one.uri)
            pieces.append(await tools.threads.run(_records, definition_in(one.uri), read.body))
        except RejectedError:
            continue
    most = await tools.threads.run(_again, pieces)
    return min(most, max(0, sum(refinings[1:]) - mended)), most


def _rows_in_order(outputs: Iterable[Output]) -> Sequence[int]:
    """Rows of each refining, the first one first: of the whole file, as all others are of some of its records."""
    moments: dict[str, tuple[bool, float]] = {}
    rows: dict[str, int] = {}
    for output in outputs:
        name = definition_in(output.uri)
        moments[name] = min(moments.get(name, _moment(output)), _moment(output))
        rows[name] = rows.get(name, 0) + output.rows
    return [rows[name] for name in sorted(rows, key=lambda name: moments[name])]


def _moment(output: Output) -> tuple[bool, float]:
    """When it was asked for, as the ledger knows; files that it does not know come after these, as they were stored."""
    if output.booked is not None and output.booked.produced_at is not None:
        return False, utc(output.booked.produced_at).timestamp()
    return True, 0.0 if output.made is None else output.made.stored_at.timestamp()


def _records(refining: str, body: bytes) -> pa.Table:
    try:
        ids = pq.read_table(pa.BufferReader(body), columns=[RECORD])
    except (pa.ArrowException, OSError):
        raise RejectedError("bad_file", "it is not readable as Parquet") from None
    return ids.append_column(REFINING, pa.repeat(refining, ids.num_rows))


def _again(pieces: Sequence[pa.Table]) -> int:
    if not pieces:
        return 0
    rows = pa.concat_tables(pieces, promote_options="permissive")
    each = rows.group_by([RECORD, REFINING]).aggregate([(REFINING, "count")])
    most = each.group_by(RECORD).aggregate([(f"{REFINING}_count", "max")]).column(f"{REFINING}_count_max")
    return int(rows.num_rows - (pc.sum(most).as_py() or 0))
