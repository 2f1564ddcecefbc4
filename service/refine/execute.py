"""Run a compiled dataset over one raw file, in a worker thread: raw bytes in, judged Arrow tables out.

Each run has an in-memory database of its own, one thread, a memory limit, no access to files or network, and is gone
afterwards. When the memory does not suffice, the longest records are rejected and the others are run again. What DuckDB
cannot do with a file at all costs that file: it is rejected as `bad_file`, without values.
"""

import hashlib
import hmac
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from service.core.columns import ColumnType
from service.core.dead_letter import Place
from service.core.errors import Code, RejectedError
from service.refine.compile import RECORD_ID_DIGITS, Fault, Program
from service.refine.numbers import SUSPECT, changes
from service.refine.open import Opened, open_bodies
from service.refine.portions import relation
from service.refine.rows import Chosen

HMAC_BLOCK_BYTES = 64
MEMORY_A_BYTE = 8
"""What a byte of opened text costs at the peak: text, Arrow, DuckDB and results together (measured: 4 to 7)."""
MEMORY_A_RECORD = 512
"""What a record costs at the peak, however short it is (measured: 230 to 550)."""
PORTIONS = 1_024
"""Into how many portions the memory is thought of: one is what DuckDB works on at a time, at up to 250 bytes a byte."""
LONG_RECORD_PORTIONS = 2
"""Longer records are given up when memory does not suffice: `[1,1,…]`, the worst, takes 250 bytes a byte (measured)."""
RAW = pa.schema(
    [("message_id", pa.string()), ("received_at", pa.timestamp("us", tz="UTC")), ("body", pa.large_string())]
)
"""What refine needs of a raw file, as land writes it."""
SENTENCES: Mapping[Code, str] = {
    "bad_encoding": "the body is neither JSON nor gzip in base64, or holds text that is not UTF-8",
    "bad_json": "the record is not one valid JSON object",
    "bad_envelope": "the body is wrapped more often than any flow does",
    "too_deep": "the record is nested deeper than 100 levels",
    "too_large": "the body holds more than 24 MiB, 100 times its size, a record for each 25 bytes, or its file's limit",
}
LONG_RECORD = Fault(
    "too_large",
    None,
    "refining so long a record needs more than ACEQUIA_REFINE_MEMORY_BYTES_MAX: raise it, or split it",
)
LONG_NUMBER = Fault("bad_type", None, "a number has more digits than a double holds: send it as text")


@dataclass(frozen=True, slots=True)
class Keys:
    """Secrets for `_record_id` (never changes) and for masks."""

    identity: bytes
    mask: bytes

    def record_id(self, message_id: str, index: int) -> str:
        """`_record_id` where a record's identity is its message's, as the compiled SQL gives it."""
        source = f"{message_id}:{index}".encode()
        return hmac.new(self.identity, source, hashlib.sha256).hexdigest()[:RECORD_ID_DIGITS]


@dataclass(frozen=True, slots=True)
class Rejection:
    """Records of one file that failed for one reason, by their places (row, index)."""

    fault: Fault
    places: Sequence[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of a raw file's records: `good` is sorted by partition, whose name is its last column."""

    records: int
    good: pa.Table
    rejections: Sequence[Rejection]
    messages_rejected: int
    """Messages of which nothing passed: what one message holds counts once, however much it is."""


def judge(raw: bytes, raw_uri: str, program: Program, keys: Keys, memory_bytes: int) -> Judged:
    """Open, map, cast and mask every record of the file. Raises RejectedError (`bad_file`) for the file as a whole."""
    landed = _landed(raw)
    return _judge(_opened(landed, memory_bytes), landed, raw_uri, program, keys, memory_bytes)


def judge_rows(
    raw: bytes, raw_uri: str, rows: Iterable[Place], program: Program, keys: Keys, memory_bytes: int
) -> Judged:
    """The same for these places of the file alone, as if there were no others; rejections name the file's own places.

    Raises RejectedError (`bad_notice`) for a place that the file does not have.
    """
    landed = _landed(raw)
    chosen = Chosen.of(rows, landed.num_rows)
    landed = landed.take(pa.array(chosen.rows, pa.int64()))
    opened = _opened(landed, memory_bytes)
    chosen.keep(opened)
    judged = _judge(opened, landed, raw_uri, program, keys, memory_bytes)
    told = [replace(rejection, places=chosen.places_of(rejection.places)) for rejection in judged.rejections]
    return replace(judged, rejections=told)


def _opened(landed: pa.Table, memory_bytes: int) -> Opened:
    return open_bodies(
        landed.column("body").to_pylist(),
        expanded_bytes_max=memory_bytes // MEMORY_A_BYTE,
        records_max=memory_bytes // MEMORY_A_RECORD,
    )


def _judge(opened: Opened, landed: pa.Table, raw_uri: str, program: Program, keys: Keys, memory_bytes: int) -> Judged:
    """When the memory does not suffice, once more without the longest records."""
    try:
        try:
            return _run(opened, landed, raw_uri, program, keys, memory_bytes)
        except duckdb.OutOfMemoryException:
            long = opened.give_up(bytes_max=memory_bytes // PORTIONS * LONG_RECORD_PORTIONS)
            if not long:
                raise
        judged = _run(opened, landed, raw_uri, program, keys, memory_bytes)
    except duckdb.OutOfMemoryException:
        sentence = "refining the file needs more than ACEQUIA_REFINE_MEMORY_BYTES_MAX: raise it, then run it again"
        raise RejectedError("too_large", sentence) from None
    except duckdb.Error as failed:
        raise RejectedError("bad_file", f"refining the file failed ({type(failed).__name__})") from None
    rejections = [*judged.rejections, Rejection(LONG_RECORD, long)]
    return replace(judged, records=judged.records + len(long), rejections=rejections)


def _run(opened: Opened, landed: pa.Table, raw_uri: str, program: Program, keys: Keys, memory_bytes: int) -> Judged:
    with duckdb.connect(config=_config(memory_bytes)) as database:
        database.execute("LOAD icu; SET TimeZone = 'UTC'; SET lock_configuration = true")
        database.register("opened", relation(opened, landed, portion_bytes=memory_bytes // PORTIONS))
        database.execute(program.sql, _parameters(program, raw_uri, keys))
        return _results(database, program, opened)


def _landed(raw: bytes) -> pa.Table:
    try:
        landed = pq.read_table(pa.BufferReader(raw), columns=RAW.names)
        landed.validate(full=True)
    except (pa.ArrowException, KeyError, OSError):
        raise RejectedError("bad_file", "the raw object is not readable as Parquet") from None
    if not landed.schema.equals(RAW) or any(column.null_count for column in landed.columns):
        raise RejectedError("bad_file", "the raw object is not a raw file of ours: other columns or types")
    return landed


def _config(memory_bytes: int) -> dict[str, str | bool | int | float | list[str]]:
    return {
        "threads": 1,
        "memory_limit": f"{memory_bytes}B",
        "enable_external_access": False,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }


def _parameters(program: Program, raw_uri: str, keys: Keys) -> dict[str, str | bytes]:
    parameters: dict[str, str | bytes] = {"raw_file": raw_uri}
    for name, key in (("identity", keys.identity), ("mask", keys.mask)):
        if f"$inner_{name}" in program.sql:
            parameters |= _pads(name, key)
    return parameters


def _pads(name: str, key: bytes) -> dict[str, str | bytes]:
    """HMAC's inner and outer pads (RFC 2104), so that SQL only has to hash twice."""
    block = (hashlib.sha256(key).digest() if len(key) > HMAC_BLOCK_BYTES else key).ljust(HMAC_BLOCK_BYTES, b"\0")
    return {
        f"inner_{name}": bytes(byte ^ 0x36 for byte in block),
        f"outer_{name}": bytes(byte ^ 0x5C for byte in block),
    }


def _long_numbers(database: duckdb.DuckDBPyConnection, faulty: Sequence[tuple[int, int, int]]) -> list[tuple[int, int]]:
    """Where numbers would change, of the records that nothing else is wrong with: they are the shorter ones."""
    suspects = database.execute(
        "SELECT row, index, record FROM opened WHERE regexp_matches(record, $suspect)", {"suspect": SUSPECT}
    ).fetchall()
    rejected = {(row, index) for _, row, index in faulty} if suspects else set()
    return [(row, index) for row, index, record in suspects if (row, index) not in rejected and changes(record)]


def _results(database: duckdb.DuckDBPyConnection, program: Program, opened: Opened) -> Judged:
    faulty = database.execute(
        "SELECT _fault, _row, _index FROM judged WHERE _fault IS NOT NULL ORDER BY _fault, _row, _index"
    ).fetchall()
    long = _long_numbers(database, faulty) if program.numbers else []
    if long:
        places = pa.table({"_at_row": [row for row, _ in long], "_at_index": [index for _, index in long]})
        database.register("long_numbers", places)
        database.execute("DELETE FROM judged USING long_numbers WHERE _row = _at_row AND _index = _at_index")
    good = database.sql(
        "SELECT * EXCLUDE (_row, _index, _fault) FROM judged WHERE _fault IS NULL ORDER BY _partition, _row, _index"
    ).to_arrow_table()
    rejections = [
        Rejection(program.faults[number - 1], [(row, index) for _, row, index in places])
        for number, places in groupby(faulty, key=lambda fault: fault[0])
    ]
    if long:
        rejections.append(Rejection(LONG_NUMBER, sorted(long)))
    rejections.extend(_unopened(opened))
    spoilt = _spoilt(opened, rejections)
    return Judged(len(opened.records) + len(opened.wrong), _typed(good, program), rejections, spoilt)


def _spoilt(opened: Opened, rejections: Sequence[Rejection]) -> int:
    """How many messages have rejected records and no others."""
    if not rejections:
        return 0
    rejected = Counter(row for rejection in rejections for row, _ in rejection.places)
    held = Counter(opened.rows) + Counter(row for row, _, _ in opened.wrong)
    return sum(count >= held[row] for row, count in rejected.items())


def _unopened(opened: Opened) -> Iterator[Rejection]:
    by_code: dict[Code, list[tuple[int, int]]] = {}
    for row, index, code in opened.wrong:
        by_code.setdefault(code, []).append((row, index))
    for code, places in sorted(by_code.items()):
        yield Rejection(Fault(code, None, SENTENCES[code]), sorted(places))


def _typed(good: pa.Table, program: Program) -> pa.Table:
    fields = [(name, _arrow_type(written)) for name, written in program.dataset.stored_columns]
    return good.cast(pa.schema([*fields, ("_partition", pa.string())]))


def _arrow_type(written: str) -> pa.DataType:
    kind = ColumnType.parse(written.replace("double precision", "double"))
    match kind.kind:
        case "decimal":
            return pa.decimal128(kind.precision, kind.scale)
        case "timestamp":
            return pa.timestamp("us")
        case "varchar" | "super":
            return pa.string()
        case plain:
            types = {"smallint": pa.int16(), "integer": pa.int32(), "bigint": pa.int64()}
            types |= {"double": pa.float64(), "boolean": pa.bool_(), "date": pa.date32()}
            return types[plain]
