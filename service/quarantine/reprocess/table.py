"""The error rows of some days, read from the errors zone alone, and what can be asked of them.

All rows of these days are in memory at once, without their previews: texts that many rows share are kept once, so a row
takes some 150 bytes. Files lie by the day of the first failure; what failed first before these days, and again since,
is found by when its file was written.

A replay judges records anew, and knows nothing of their past: its version of a row tells of one try, and begins with
the replay. So the most tries and the earliest moment of all versions count, and of records that landed before these
days the tries of days before are looked for, too. Nothing else of those rows: they are not sent back, and the first
moment stays one of these days.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from service.core.errors import RejectedError
from service.core.errors_dataset import ERRORS
from service.core.moments import naive, utc
from service.core.ports import Means
from service.core.slices import slices
from service.core.zones import Zone, refined_place
from service.quarantine.rows import SCHEMA

WORDS = [
    "fingerprint", "layer", "dataset", "code", "sentence", "field", "raw_file", "original_uri", "state", "round_id",
    "_raw_file",
]  # fmt: skip
"""Texts that many rows share."""
COLUMNS = [name for name in SCHEMA.names if name not in ("preview", "size_bytes", "_record_id", "_received_at")]
_SHARED = pa.dictionary(pa.int32(), pa.string())
_SCHEMA = pa.schema([(name, _SHARED if name in WORDS else SCHEMA.field(name).type) for name in COLUMNS])
FILES_AT_A_TIME = 64
DAYS_AT_A_TIME = 16
DAYS_MAX = 400
DAYS_BEFORE = 90
"""So long after its first failure a record may fail again and be found among those of its last failure's day."""
SKEW = timedelta(days=1)
"""More than clocks differ."""
_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "threads": 1,
    "memory_limit": "1GB",
    "enable_external_access": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}

_LATEST = """
CREATE TEMP VIEW latest AS
SELECT * REPLACE (min(first_failed_at) OVER same AS first_failed_at, max(attempts) OVER same AS attempts),
  CASE
    WHEN row_index IS NOT NULL THEN concat(raw_file, ' ', row_index, ' ', record_index)
    WHEN message_id IS NOT NULL THEN concat(layer, ' ', message_id)
    ELSE error_id
  END AS thing
FROM error_rows
WINDOW same AS (PARTITION BY error_id)
QUALIFY row_number() OVER (PARTITION BY error_id ORDER BY updated_at DESC, state = 'open') = 1
"""
_GROUPS = """
SELECT fingerprint, any_value(layer), coalesce(any_value(dataset), ''), any_value(code), any_value(field),
  arg_max(sentence, last_failed_at), count(*), count(*) FILTER (state = 'open'),
  count(*) FILTER (state = 'reprocessed'), count(*) FILTER (state = 'resolved'), count(*) FILTER (state = 'parked'),
  min(first_failed_at), max(last_failed_at)
FROM latest
WHERE fingerprint = coalesce($fingerprint, fingerprint) AND layer = coalesce($layer, layer)
  AND coalesce(dataset, '') = coalesce($dataset, dataset, '') AND code = coalesce($code, code)
  AND last_failed_at BETWEEN $since AND $until
GROUP BY fingerprint
ORDER BY 8 DESC, 7 DESC, fingerprint
"""
_ITEMS = """
WITH things AS (
  SELECT thing, max(attempts) AS tried, min(first_failed_at) FILTER (state <> 'resolved') AS began,
    list({'error_id': error_id, 'file': _raw_file, 'failed_at': last_failed_at} ORDER BY error_id)
      FILTER (state <> 'resolved' AND first_failed_at IS NOT NULL) AS error_rows
  FROM latest GROUP BY thing
)
SELECT error_id, fingerprint, layer, coalesce(dataset, ''), code, field, raw_file, row_index, record_index, message_id,
  things.tried, original_uri, things.began, error_rows
FROM latest JOIN things USING (thing)
WHERE fingerprint = coalesce($fingerprint, fingerprint) AND layer = coalesce($layer, layer)
  AND coalesce(dataset, '') = coalesce($dataset, dataset, '') AND code = coalesce($code, code)
  AND last_failed_at BETWEEN $since AND $until
  AND (state = 'open' OR state = 'parked' AND $parked)
  AND tried BETWEEN $tried_min AND $tried_max
QUALIFY row_number() OVER (PARTITION BY thing ORDER BY last_failed_at DESC, error_id) = 1
ORDER BY layer, original_uri, _raw_file, raw_file, row_index, record_index, error_id
LIMIT $limit
"""
_LANDED_BEFORE = """
SELECT raw_file, any_value(day) FROM (
  SELECT CAST(raw_file AS VARCHAR) AS raw_file,
    TRY_CAST(regexp_extract(raw_file, '/dt=([0-9]{4}-[0-9]{2}-[0-9]{2})/hr=[0-9]{2}/[^/]+$', 1) AS DATE) AS day
  FROM latest WHERE row_index IS NOT NULL AND last_failed_at BETWEEN $since AND $until
) WHERE day < $day GROUP BY raw_file
"""
_EXAMPLES = """
SELECT error_id, state, attempts, _raw_file, raw_file, row_index, record_index, message_id, original_uri, field,
  sentence
FROM latest
WHERE fingerprint = $fingerprint
ORDER BY state = 'resolved', last_failed_at DESC, error_id
LIMIT $limit
"""
ATTEMPTS_CEILING = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Choice:
    """Which failures are meant: None for any. Moments are UTC, of the last failure; at most `limit` records."""

    since: datetime
    until: datetime
    limit: int = 100_000
    fingerprint: str | None = None
    layer: str | None = None
    dataset: str | None = None
    code: str | None = None
    parked: bool = False

    @property
    def parameters(self) -> dict[str, Any]:
        """For the questions below."""
        wanted = {name: getattr(self, name) for name in ("fingerprint", "layer", "dataset", "code")}
        return {**wanted, "since": naive(self.since), "until": naive(self.until)}


@dataclass(frozen=True, slots=True)
class Group:
    """A fingerprint, and how many of its records stand where. Moments are UTC."""

    fingerprint: str
    layer: str
    dataset: str
    code: str
    field: str | None
    sentence: str
    records: int
    open: int
    reprocessed: int
    resolved: int
    parked: int
    first_failed_at: datetime
    last_failed_at: datetime


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """An error row: which one, in which file its latest version lies, and when it failed last, UTC."""

    error_id: str
    file: str
    failed_at: datetime


@dataclass(frozen=True, slots=True)
class Item:
    """What can be sent back as one: a record by its place in a raw file, or a message that failed whole.

    A record has `row_index`; a message that failed whole has a `raw_file` too where it is a notice about one.

    The facts are those of its latest failure that was chosen; `tried` is how often it was tried over all rounds, under
    whichever code it failed, and `rows` are all of its error rows that are not resolved, the oldest `first_failed_at`.
    """

    error_id: str
    fingerprint: str
    layer: str
    dataset: str
    code: str
    field: str | None
    raw_file: str | None
    row_index: int | None
    record_index: int | None
    message_id: str | None
    tried: int
    original_uri: str | None
    first_failed_at: datetime
    rows: tuple[ErrorRow, ...]


@dataclass(frozen=True, slots=True)
class Example:
    """A failed record for people to look at: where it lies, and its error row's file."""

    error_id: str
    state: str
    attempts: int
    file: str
    raw_file: str | None
    row_index: int | None
    record_index: int | None
    message_id: str | None
    original_uri: str | None
    field: str | None
    sentence: str


class ErrorTable:
    """All versions of the rows. `unreadable` are files that nobody can read. Every method is work for a thread, one at
    a time; the database behind them is in memory, reaches nothing outside, and goes with the table.
    """

    def __init__(self, rows: pa.Table, unreadable: Sequence[str] = ()) -> None:
        self.rows = rows
        self.unreadable = unreadable
        self._database = duckdb.connect(config=_CONFIG)
        self._database.execute("SET lock_configuration = true")
        self._database.register("error_rows", rows)
        self._database.execute(_LATEST)

    def groups(self, choice: Choice) -> list[Group]:
        """By fingerprint, those with most open records first."""
        return [Group(*row[:-2], *map(utc, row[-2:])) for row in self._ask(_GROUPS, choice.parameters)]

    def items(self, choice: Choice, *, tried_min: int = 0, tried_max: int = ATTEMPTS_CEILING) -> list[Item]:
        """What is open of the choice, where asked for also what is parked; by original, so that each is read once."""
        bounds = {"tried_min": tried_min, "tried_max": tried_max, "parked": choice.parked, "limit": choice.limit}
        return [_item(row) for row in self._ask(_ITEMS, choice.parameters | bounds)]

    def examples(self, fingerprint: str, limit: int) -> list[Example]:
        """A few failures of that kind, the latest that are not resolved first."""
        return [Example(*row) for row in self._ask(_EXAMPLES, {"fingerprint": fingerprint, "limit": limit})]

    def ask(self, question: str, **parameters: Any) -> list[tuple[Any, ...]]:
        """The answer to SQL about `error_rows` (all versions) and `latest` (of each failure the latest)."""
        return self._ask(question, parameters)

    def _ask(self, question: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        return self._database.execute(question, parameters).fetchall()


async def read_table(zone: Zone, means: Means, since: date, *, days_before: int = 0) -> ErrorTable:
    """Every error row of that day and later; of so many days before it, what was written since. Files that are removed
    meanwhile are left out.
    """
    written_since = f"{since - SKEW:%Y%m%d}"
    end = max(since, means.clock.now().date() + timedelta(days=2))
    files = await _files(zone, means, since - timedelta(days=days_before), end)
    uris = [uri for day, batch_id, uri in files if day >= since or batch_id >= written_since]
    return await _table(uris, means)


async def with_past(table: ErrorTable, choice: Choice, zone: Zone, means: Means) -> ErrorTable:
    """The same, where needed with the tries from before of the records chosen that had landed before: rows without a
    first moment. `table` was read for that choice, and is used no more then.
    """
    since = choice.since.date()
    bounds = {"since": naive(choice.since), "until": naive(choice.until), "day": since}
    landed = dict(await means.threads.run(table.ask, _LANDED_BEFORE, **bounds))
    if not landed:
        return table
    oldest = max(min(landed.values()), means.clock.now().date() - timedelta(days=DAYS_MAX))
    written_since = f"{since - SKEW:%Y%m%d}"
    files = await _files(zone, means, oldest, since - timedelta(days=1))
    older = await _table([uri for _, batch_id, uri in files if batch_id < written_since], means, raw_files=landed)
    unreadable = [*table.unreadable, *older.unreadable]
    return await means.threads.run(lambda: ErrorTable(pa.concat_tables([table.rows, _tries(older.rows)]), unreadable))


def _tries(rows: pa.Table) -> pa.Table:
    number = rows.schema.get_field_index("first_failed_at")
    return rows.set_column(number, rows.field(number), pa.nulls(rows.num_rows, rows.field(number).type))


async def _table(uris: Sequence[str], means: Means, *, raw_files: Collection[str] | None = None) -> ErrorTable:
    """What these files hold; where told, only rows about these raw files."""
    pieces, unreadable = [_SCHEMA.empty_table()], []
    wanted = None if raw_files is None else pa.array([*raw_files], pa.string())
    for some in slices(uris, FILES_AT_A_TIME):
        found = await means.fan_out.run(means.store.read(uri) for uri in some)
        for uri, read in zip(some, found, strict=True):
            rows = None if read is None else await means.threads.run(_read, read[0], wanted)
            if rows is not None:
                pieces.append(rows)
            elif read is not None:
                unreadable.append(uri)
    return await means.threads.run(lambda: ErrorTable(pa.concat_tables(pieces), unreadable))


async def _files(zone: Zone, means: Means, first: date, last: date) -> list[tuple[date, str, str]]:
    """Error files of these days: the day, the batch id, which begins with when it was written, and the address."""

    async def of_day(day: date) -> list[tuple[date, str, str]]:
        prefix = zone.uri(f"{ERRORS.name}/dt={day}/")
        uris = [listed.uri async for page in means.store.pages(prefix) for listed in page]
        return [(day, batch_id, uri) for uri in uris if (batch_id := _batch_id(zone, uri))]

    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    found: list[tuple[date, str, str]] = []
    for some in slices(days, DAYS_AT_A_TIME):
        for files in await means.fan_out.run(of_day(day) for day in some):
            found.extend(files)
    return found


def _batch_id(zone: Zone, uri: str) -> str:
    """Of the batch that the file stems from, which begins with its moment; empty where it is no error file."""
    try:
        place = refined_place(zone, uri)
    except RejectedError:
        return ""
    return place.batch_id if place.dataset == ERRORS.name else ""


def _read(body: bytes, raw_files: pa.Array | None) -> pa.Table | None:
    try:
        rows = pq.read_table(pa.BufferReader(body), columns=COLUMNS, read_dictionary=WORDS)
        rows = rows.select(COLUMNS).cast(_SCHEMA)
        if raw_files is None:
            return rows
        return rows.filter(pc.is_in(rows.column("raw_file").cast(pa.string()), value_set=raw_files))
    except (pa.ArrowException, OSError, KeyError, ValueError):
        return None


def _item(row: tuple[Any, ...]) -> Item:
    rows = tuple(ErrorRow(one["error_id"], one["file"], utc(one["failed_at"])) for one in row[-1])
    facts = dict(zip(Item.__slots__, row[:-2], strict=False))
    return Item(**facts, first_failed_at=utc(row[-2]), rows=rows)
