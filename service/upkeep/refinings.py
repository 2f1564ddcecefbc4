"""A raw file may have been refined more than once: then it is told how many rows are of records that came before.

That is so where a notice came again after the definition had changed, and where records were sent back after a replay
had brought them. The table has each of them once; the lake has them in the files of each refining.
"""

from collections.abc import Iterable, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from service.core.errors import RejectedError
from service.upkeep.explain import Output
from service.upkeep.lake import definition_in
from service.upkeep.tools import Tools

RECORD, REFINING = "_record_id", "refining"


async def rows_again(tools: Tools, outputs: Iterable[Output]) -> int:
    """Of one raw file: rows whose record stands in a file of another refining as well.

    What one refining has twice, the raw file had twice. One file is read at a time, and some 90 bytes a row of all of
    them are kept. Files that are gone, or cannot be read, count as records of their own.
    """
    live = [one for one in outputs if one.live and one.made is not None]
    if len({definition_in(one.uri) for one in live}) <= 1:
        return 0
    pieces = []
    for one in live:
        try:
            read = await tools.read(one.uri)
            pieces.append(await tools.threads.run(_records, definition_in(one.uri), read.body))
        except RejectedError:
            continue
    return await tools.threads.run(_again, pieces)


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
