"""Message bodies → records. A body is one JSON object, an array of objects, or NDJSON; plain, or gzip in base64; bare,
or wrapped by SNS, by EventBridge or by our own dead-letter envelope.

JSON is validated strictly here, by msgspec, which also gives each array element's exact text; DuckDB, which reads the
records next, is kinder than JSON allows (it takes NaN and trailing commas). Whatever passes is one JSON object, no
deeper than `DEPTH_MAX`. The common case (every body one object, or NDJSON) costs one validation for the whole file.
"""

import base64
import binascii
import re
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import compress

import msgspec
import orjson

from service.core.dead_letter import MARKER
from service.core.errors import Code

DEPTH_MAX = 100
EXPANDED_BYTES_MAX = 24 * 1024 * 1024
"""What one compressed body may become: 24 times the largest SQS message, and what expands in a tenth of a second."""
WRAPPERS_MAX = 3
"""gzip, in EventBridge or SNS, and that out of a dead letter: deeper wrapping is nobody's flow."""
GZIP_IN_BASE64 = "H4sI"
"""gzip's first three bytes (1f 8b 08): nothing else that we take begins so."""
BASE64 = re.compile(r"[A-Za-z0-9+/=\s]+")
WRAPPER_MARKS = ('"TopicArn"', '"detail-type"', f'"{MARKER}"')

_RAWS = msgspec.json.Decoder(list[msgspec.Raw])
_RAW = msgspec.json.Decoder(msgspec.Raw)
_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"')
_NO_MARK = re.compile(r"[^\[\]{}]+")


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


def open_bodies(bodies: Sequence[str], *, expanded_bytes_max: int = EXPANDED_BYTES_MAX) -> Opened:
    """Open every body of a raw file. What compressed bodies expand to is bounded for all of them together: those that
    no longer fit are too large, the others pass.
    """
    opened = Opened()
    budget = _Budget(expanded_bytes_max)
    candidates: list[tuple[int, list[str]]] = []
    for row, body in enumerate(bodies):
        try:
            candidates.append((row, _records(body, budget)))
        except _BodyError as wrong:
            opened.wrong.append((row, 0, wrong.code))
    if _all_objects(record for _, records in candidates for record in records):
        for row, records in candidates:
            opened.rows.extend([row] * len(records))
            opened.indexes.extend(range(len(records)))
            opened.records.extend(records)
    else:
        for row, records in candidates:
            opened.add(row, records)
    return opened


@dataclass(slots=True)
class _Budget:
    bytes_left: int


class _BodyError(Exception):
    def __init__(self, code: Code) -> None:
        super().__init__(code)
        self.code: Code = code


def _records(body: str, budget: _Budget, wrappers: int = 0) -> list[str]:
    if wrappers > WRAPPERS_MAX:
        raise _BodyError("bad_envelope")
    text = body.strip(" \t\r\n")
    if text.startswith(GZIP_IN_BASE64) and ("\n" not in text or BASE64.fullmatch(text)):
        return _records(_expanded(text, budget), budget, wrappers + 1)
    if any(mark in text for mark in WRAPPER_MARKS):
        inner = _unwrapped(text)
        if inner is not None:
            return _records(inner, budget, wrappers + 1)
    if text.startswith("["):
        return _elements(text)
    return _lines(text) if "\n" in text else [text]


def _elements(text: str) -> list[str]:
    try:
        return [str(bytes(raw), "utf-8") for raw in _RAWS.decode(text)]
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return _lines(text) if "\n" in text else [text]


def _lines(text: str) -> list[str]:
    """NDJSON, unless it is one object written over several lines."""
    try:
        _RAW.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return [line for line in (line.strip(" \t\r") for line in text.split("\n")) if line]
    return [text]


def _expanded(text: str, budget: _Budget) -> str:
    """The text of one or several gzip members in base64."""
    bytes_max = min(EXPANDED_BYTES_MAX, budget.bytes_left)
    try:
        packed = base64.b64decode("".join(text.split()), validate=True)
        plain = bytearray()
        while packed:
            member = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
            plain += member.decompress(packed, bytes_max + 1 - len(plain))
            if len(plain) > bytes_max:
                raise _BodyError("too_large")
            if not member.eof:
                raise _BodyError("bad_encoding")
            packed = member.unused_data
        budget.bytes_left -= len(plain)
        return plain.decode("utf-8")
    except (binascii.Error, ValueError, zlib.error):
        raise _BodyError("bad_encoding") from None


def _unwrapped(text: str) -> str | None:
    """What an envelope holds, or None where the text only looks like one."""
    try:
        given = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    match given:
        case {"Type": "Notification", "TopicArn": str(), "Message": str(inner)}:
            return inner
        case {"detail-type": str(), "source": str(), "detail": dict(detail)}:
            return _exact_member(text, "detail") or orjson.dumps(detail).decode()
        case {"acequia_dead_letter": int(), "original": {"body": str(inner)}}:
            return inner
        case _:
            return None


def _exact_member(text: str, name: str) -> str | None:
    """A member's text as it was sent, numbers and all."""
    try:
        raw = msgspec.json.decode(text, type=dict[str, msgspec.Raw])[name]
    except (msgspec.DecodeError, KeyError, RecursionError, UnicodeError):
        return None
    return str(bytes(raw), "utf-8")


def _all_objects(records: Iterable[str]) -> bool:
    """Whether every record is one valid JSON object, none of them suspiciously nested: one pass for a whole file.

    Each element's length must be its record's, so that two halves of different records never pass as one.
    """
    encoded = [record.encode("utf-8", "surrogatepass") for record in records]
    try:
        raws = _RAWS.decode(b"[" + b",".join(encoded) + b"]")
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return False
    return len(raws) == len(encoded) and all(
        memoryview(raw).nbytes == len(record)
        and record.startswith(b"{")
        and record.count(b"{") + record.count(b"[") <= DEPTH_MAX
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
    return "too_deep" if record.count("{") + record.count("[") > DEPTH_MAX and _deep(record) else None


def _deep(record: str) -> bool:
    """Whether valid JSON nests deeper than allowed: brackets in pairs, without what stands between, go level by level.

    Brackets inside strings do not count.
    """
    marks = _NO_MARK.sub("", _STRING.sub("", record))
    for _ in range(DEPTH_MAX):
        marks = marks.replace("[]", "").replace("{}", "")
        if not marks:
            return False
    return True
