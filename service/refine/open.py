"""Message bodies → records. A body is one JSON object, an array of objects, or NDJSON; plain, or gzip in base64; bare,
or wrapped by SNS, by EventBridge or by our own dead-letter envelope.

JSON is validated strictly here, by msgspec, which also gives each array element's exact text; DuckDB, which reads the
records next, is kinder than JSON allows (it takes NaN and trailing commas). Whatever passes is one JSON object, no
deeper than `DEPTH_MAX`. The common case (every body one object, or NDJSON) costs one validation for the whole file.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import compress

import msgspec

from service.core.errors import Code
from service.refine.scan import depth, elements
from service.refine.unpack import (
    EXPANDED_BYTES_MAX,
    BodyError,
    Budget,
    expanded,
    expanded_bytes_max,
    unwrapped,
)

DEPTH_MAX = 100
WRAPPERS_MAX = 3
"""gzip, in EventBridge or SNS, and that out of a dead letter: deeper wrapping is nobody's flow."""
RECORD_BYTES_MIN = 25
"""A record with nothing but a time takes so many: `{"t":"2024-01-01T10:00Z"}`. Records that are shorter on average
cost far more than their bytes, and none can pass."""
RECORDS_FREE = 1_000
"""So many records a body may hold, however short they are."""
RECORDS_MAX = 4_000_000
GZIP_IN_BASE64 = "H4sI"
"""gzip's first three bytes (1f 8b 08): nothing else that we take begins so."""
BASE64 = re.compile(r"[A-Za-z0-9+/=\s]+")


class _Object(msgspec.Struct, gc=False):
    """Any object, as small as can be: only their number matters."""


_OBJECTS = msgspec.json.Decoder(list[_Object])
_RAWS = msgspec.json.Decoder(list[msgspec.Raw])
_RAW = msgspec.json.Decoder(msgspec.Raw)


@dataclass(slots=True)
class Opened:
    """Records in order, each with its message's row and its index in that message; and what could not be opened."""

    rows: list[int] = field(default_factory=list)
    indexes: list[int] = field(default_factory=list)
    records: list[str] = field(default_factory=list)
    wrong: list[tuple[int, int, Code]] = field(default_factory=list)

    def add(self, row: int, records: Sequence[str]) -> None:
        """Take the records of one message, each judged by itself: one bad line costs that line."""
        for index, record in enumerate(records):
            code = _fault(record)
            if code is None:
                self.rows.append(row)
                self.indexes.append(index)
                self.records.append(record)
            else:
                self.wrong.append((row, index, code))

    def give_up(self, *, bytes_max: int) -> list[tuple[int, int]]:
        """Forget the records that are longer than that; returns their places."""
        fits = [len(record.encode()) <= bytes_max for record in self.records]
        places = list(zip(self.rows, self.indexes, strict=True))
        self.rows, self.indexes = list(compress(self.rows, fits)), list(compress(self.indexes, fits))
        self.records = list(compress(self.records, fits))
        return [place for place, fit in zip(places, fits, strict=True) if not fit]


def open_bodies(
    bodies: Sequence[str], *, expanded_bytes_max: int = EXPANDED_BYTES_MAX, records_max: int = RECORDS_MAX
) -> Opened:
    """Open every body of a raw file. What compressed bodies expand to, and how many records there are, is bounded for
    all bodies together: those that no longer fit are too large, the others pass.
    """
    opened = Opened()
    budget = Budget(expanded_bytes_max, records_max)
    candidates: list[tuple[int, list[str]]] = []
    for row, body in enumerate(bodies):
        try:
            records = split(body, budget)
        except BodyError as wrong:
            opened.wrong.append((row, 0, wrong.code))
        else:
            budget.records_left -= len(records)
            candidates.append((row, records))
    if _all_objects(record for _, records in candidates for record in records):
        for row, records in candidates:
            opened.rows.extend([row] * len(records))
            opened.indexes.extend(range(len(records)))
            opened.records.extend(records)
    else:
        for row, records in candidates:
            opened.add(row, records)
    return opened


def split(body: str, budget: Budget) -> list[str]:
    """The body's records as they stand in it, none of them judged; raises BodyError where it cannot be opened."""
    text = body.strip(" \t\r\n")
    for _ in range(WRAPPERS_MAX + 1):
        if text.startswith(GZIP_IN_BASE64) and ("\n" not in text or BASE64.fullmatch(text)):
            inner: str | None = expanded(text, expanded_bytes_max(body), budget)
        else:
            inner = unwrapped(text)
        if inner is None:
            return _split(text, budget.records_left)
        text = inner.strip(" \t\r\n")
    raise BodyError("bad_envelope")


def _split(text: str, records_left: int) -> list[str]:
    """The text's records, unless they are too many; none of them is judged yet. One is never too many."""
    most = max(1, min(records_left, max(RECORDS_FREE, len(text) // RECORD_BYTES_MIN)))
    if text.startswith("["):
        return _elements(text, most)
    return _lines(text, most) if "\n" in text else [text]


def _elements(text: str, most: int) -> list[str]:
    try:
        if _more_than(most, text):
            raise BodyError("too_large")
        return [str(bytes(raw), "utf-8") for raw in _RAWS.decode(text)]
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return _lines(text, most) if "\n" in text else [text]


def _more_than(most: int, text: str) -> bool:
    """Whether an array has more elements, told before each of them becomes an object many times its size."""
    try:
        return len(_OBJECTS.decode(text)) > most
    except msgspec.ValidationError:
        return elements(text.encode("utf-8", "surrogatepass")) > most


def _lines(text: str, most: int) -> list[str]:
    """NDJSON, unless it is one object written over several lines."""
    try:
        _RAW.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        if text.count("\n") >= most:
            raise BodyError("too_large") from None
        return [line for line in (line.strip(" \t\r") for line in text.split("\n")) if line]
    return [text]


def _all_objects(records: Iterable[str]) -> bool:
    """Whether every record is one valid JSON object, none of them too deep: one pass for a whole file.

    Each element's length must be its record's, so that two halves of different records never pass as one.
    """
    encoded = [record.encode("utf-8", "surrogatepass") for record in records]
    try:
        raws = _RAWS.decode(b"[" + b",".join(encoded) + b"]")
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return False
    return len(raws) == len(encoded) and all(
        memoryview(raw).nbytes == len(record) and record.startswith(b"{") and not _too_deep(record)
        for raw, record in zip(raws, encoded, strict=True)
    )


def _fault(record: str) -> Code | None:
    if not record.startswith("{"):
        return "bad_json"
    try:
        _RAW.decode(record)
    except UnicodeError:
        return "bad_encoding"
    except RecursionError:
        return "too_deep"
    except msgspec.DecodeError:
        return "bad_json"
    return "too_deep" if _too_deep(record.encode()) else None


def _too_deep(record: bytes) -> bool:
    """Valid JSON with few brackets, as nearly all of it, is told from their number alone."""
    return record.count(b"{") + record.count(b"[") > DEPTH_MAX and depth(record) > DEPTH_MAX
