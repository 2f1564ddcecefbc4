"""How many records a raw file holds, opened as refining opens them: for `acequia reconcile`."""

from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq

from service.core.errors import RejectedError
from service.refine.execute import MEMORY_A_BYTE, MEMORY_A_RECORD
from service.refine.open import open_bodies


def count(raw: bytes, memory_bytes: int) -> tuple[list[str], list[int]]:
    """Message ids in order, and how many records each message holds, good or bad.

    Work for a thread; raises RejectedError (`bad_file`) for the file as a whole.
    """
    try:
        landed = pq.read_table(pa.BufferReader(raw), columns=["message_id", "body"])
        landed.validate(full=True)
    except (pa.ArrowException, KeyError, OSError):
        raise RejectedError("bad_file", "the raw object is not readable as Parquet") from None
    opened = open_bodies(
        landed.column("body").to_pylist(),
        expanded_bytes_max=memory_bytes // MEMORY_A_BYTE,
        records_max=memory_bytes // MEMORY_A_RECORD,
    )
    records = Counter(opened.rows)
    records.update(row for row, _, _ in opened.wrong)
    return landed.column("message_id").to_pylist(), [records[row] for row in range(landed.num_rows)]
