"""Single records of a raw file, by their places: for whoever looks at what was rejected. Nothing of it is judged."""

from collections.abc import Iterator, Sequence
from datetime import datetime

import pyarrow as pa
import pyarrow.parquet as pq

from service.core.errors import RejectedError
from service.refine.open import RECORDS_MAX, split
from service.refine.unpack import BodyError, Budget

COLUMNS = ["message_id", "sent_at", "body"]
ROWS_AT_A_TIME = 4_096
Picked = tuple[str, str, datetime]
"""The record's text, its message's id, and when that was sent."""


def pick(raw: bytes, places: Sequence[tuple[int, int]], *, expanded_bytes_max: int) -> list[Picked | None]:
    """What lies at each place, None where nothing does; only messages that the places name are opened.

    At the first place of a message that cannot be opened its whole body stands. Raises RejectedError (`bad_file`).
    """
    wanted: dict[int, list[int]] = {}
    for row, index in places:
        wanted.setdefault(row, []).append(index)
    budget = Budget(expanded_bytes_max, RECORDS_MAX)
    found: dict[tuple[int, int], Picked] = {}
    for row, message_id, sent_at, body in _messages(raw, sorted(wanted)):
        records = _texts(body, budget)
        found |= {(row, at): (records[at], message_id, sent_at) for at in wanted[row] if at < len(records)}
    return [found.get(place) for place in places]


def _texts(body: str, budget: Budget) -> list[str]:
    try:
        records = split(body, budget)
    except BodyError:
        return [body]
    budget.records_left -= len(records)
    return records


def _messages(raw: bytes, rows: Sequence[int]) -> Iterator[tuple[int, str, datetime, str]]:
    """These rows of the file, few at a time: (row, message id, sent at, body)."""
    try:
        first, at = 0, 0
        for batch in pq.ParquetFile(pa.BufferReader(raw)).iter_batches(ROWS_AT_A_TIME, columns=COLUMNS):
            end = at
            while end < len(rows) and rows[end] < first + len(batch):
                end += 1
            some = batch.take(pa.array([row - first for row in rows[at:end]], pa.int64()))
            yield from zip(rows[at:end], *(some.column(name).to_pylist() for name in COLUMNS), strict=True)
            first, at = first + len(batch), end
    except (pa.ArrowException, KeyError, OSError):
        raise RejectedError("bad_file", "the raw object is no raw file of ours") from None
