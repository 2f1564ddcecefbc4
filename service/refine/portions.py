"""The records of a raw file as DuckDB reads them: in portions of few bytes.

DuckDB works on a whole portion at a time, and its JSON functions keep what they make of it until the next. By itself it
would take 2,048 records at once, however long they are: a file of long records would need many times its size.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import pyarrow as pa
import pyarrow.compute as pc

from service.refine.open import Opened


def relation(opened: Opened, landed: pa.Table, *, portion_bytes: int) -> pa.Table:
    """One row a record, with what the raw file knows of its message."""
    rows = pa.array(opened.rows, pa.int32())
    received = pc.cast(landed.column("received_at"), pa.timestamp("us"))
    whole = pa.table(
        {
            "row": rows,
            "index": pa.array(opened.indexes, pa.int32()),
            "message_id": landed.column("message_id").take(rows),
            "received_at": received.take(rows),
            "record": pa.array(opened.records, pa.large_string()),
        }
    )
    lengths = pc.binary_length(whole.column("record")).to_pylist()
    parts = [whole.slice(start, stop - start) for start, stop in pairwise(cuts(lengths, portion_bytes))]
    return pa.concat_tables(parts) if parts else whole


def cuts(lengths: Sequence[int], portion_bytes: int) -> Iterator[int]:
    """Where portions begin, and where the last one ends. A record that is longer than a portion has one to itself."""
    yield 0
    held = 0
    for at, length in enumerate(lengths):
        if held and held + length > portion_bytes:
            yield at
            held = 0
        held += length
    if lengths:
        yield len(lengths)
