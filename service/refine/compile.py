"""A dataset definition → the SQL that judges and maps its records, compiled once.

The input relation `opened` has one row a record: `row` and `index` (where it came from), `message_id`, `received_at`
(UTC, naive) and `record` (one valid JSON object). The output table `judged` has the stored columns in order, then
`_row, _index, _partition` and `_fault`: NULL, or the number of the first check that the record failed.

Parameters of the statement: `raw_file`, and the inner and outer pads of the two HMAC keys (RFC 2104) as bytes.
Identifiers and paths come from definitions that were checked on reading, and are quoted all the same.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from service.core.datasets import Column, Dataset
from service.core.errors import Code
from service.refine.casts import truncated, value, wrong_value

SUPER_BYTES_MAX = 65_535
"""A Parquet string arrives in SUPER as one string, which holds so many bytes (AWS: Limitations of SUPER) unless the
cluster has large strings switched on."""
RECORD_ID_DIGITS = 32
REDACTED = "***"
NUMERIC = ("smallint", "integer", "bigint", "decimal", "double", "super")
NUL_IN_JSON = r"(?:^|[^\\])(?:\\\\)*\\u0000"
"""An escaped NUL; after an even number of backslashes the same letters are harmless text."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What a failed check means."""

    code: Code
    column: str | None
    sentence: str


@dataclass(frozen=True, slots=True)
class Program:
    """A compiled dataset. `faults[n - 1]` explains fault number n; `numbers` says whether long numbers matter."""

    dataset: Dataset
    sql: str
    faults: Sequence[Fault]
    numbers: bool


def compile_dataset(dataset: Dataset, *, super_bytes_max: int = SUPER_BYTES_MAX) -> Program:
    """Compile one definition, with the most bytes of JSON that a SUPER column takes. Pure: the same gives the same."""
    dataset = _named(dataset, super_bytes_max)
    columns = dataset.columns
    checks = list(_checks(dataset, super_bytes_max))
    whens = " ".join(f"WHEN {condition} THEN {number}" for number, (condition, _) in enumerate(checks, start=1))
    fragments = [f"NULLIF(_found[{n + 1}]::VARCHAR, 'null') AS j{n}" for n, _ in enumerate(columns)]
    texts = [f"CASE WHEN starts_with(j{n}, '\"') THEN j{n} ->> '$' END AS s{n}" for n, _ in enumerate(columns)]
    values = [f"{value(c.type, f'j{n}', f's{n}')} AS v{n}" for n, c in enumerate(columns)]
    stored = [f"{_stored(n, c)} AS {_quoted(c.name)}" for n, c in enumerate(columns)]
    if dataset.rest is not None:
        stored.append(f"_rest AS {_quoted(dataset.rest)}")
    sql = f"""
CREATE OR REPLACE TEMP TABLE judged AS
WITH picked AS (
  SELECT *, json_extract(record, [{", ".join(_path(c.path) for c in columns)}]) AS _found FROM opened
), fragments AS (
  SELECT *, {", ".join(fragments)} FROM picked
), texts AS (
  SELECT *, {", ".join(texts)} FROM fragments
), valued AS (
  SELECT *, {", ".join(values)}, {_rest(dataset)} AS _rest
  FROM texts
)
SELECT {", ".join(stored)},
  {_record_id(dataset)} AS _record_id, received_at AS _received_at, $raw_file AS _raw_file,
  row AS _row, index AS _index,
  strftime(v{_number(dataset, dataset.event_time)}, '{_partition_format(dataset)}') AS _partition,
  CASE {whens} END AS _fault
FROM valued
"""  # noqa: S608 (identifiers, paths and shapes are checked and quoted; values are parameters)
    numbers = dataset.rest is not None or any(c.type.kind in NUMERIC for c in columns)
    return Program(dataset, sql, [fault for _, fault in checks], numbers)


def compile_datasets(datasets: Mapping[str, Dataset], *, super_bytes_max: int = SUPER_BYTES_MAX) -> dict[str, Program]:
    """All of them, by name."""
    return {name: compile_dataset(dataset, super_bytes_max=super_bytes_max) for name, dataset in datasets.items()}


def _named(dataset: Dataset, super_bytes_max: int) -> Dataset:
    """The dataset with a hash that tells an unusual limit too, where the limit matters.

    Under another limit a raw file gives other rows. Objects never change, so these rows need other addresses: else a
    replay after the limit was raised would find the old objects in its place.
    """
    limited = dataset.rest is not None or any(c.type.kind == "super" for c in dataset.columns)
    if super_bytes_max == SUPER_BYTES_MAX or not limited:
        return dataset
    facts = f"{dataset.definition} {super_bytes_max}"
    return replace(dataset, definition=hashlib.sha256(facts.encode()).hexdigest()[: len(dataset.definition)])


def _checks(dataset: Dataset, super_bytes_max: int) -> Iterator[tuple[str, Fault]]:
    """(condition, what it means) in the columns' order: a record is rejected for the first that holds."""
    sentence = "a field is there twice: readers would disagree on which one counts"
    yield " OR ".join(_twice(parent) for parent in _parents(dataset)), Fault("bad_json", None, sentence)
    for n, column in enumerate(dataset.columns):
        name = column.name
        if column.required:
            yield f"j{n} IS NULL", Fault("missing_required", name, f"column {name}: the field is missing or null")
        code, sentence = wrong_value(column.type)
        yield f"j{n} IS NOT NULL AND v{n} IS NULL", Fault(code, name, f"column {name}: the field {sentence}")
        if column.type.kind == "varchar":
            yield f"contains(s{n}, chr(0))", Fault("bad_encoding", name, f"column {name}: the text holds a NUL")
            limit = column.type.length
            if not column.truncate:
                yield f"strlen(s{n}) > {limit}", Fault("too_long", name, f"column {name}: longer than {limit} bytes")
        if column.type.kind == "super":
            yield f"strlen(j{n}) > {super_bytes_max}", _too_long_super(name, super_bytes_max)
            yield _holds_nul(f"j{n}"), Fault("bad_encoding", name, f"column {name}: a text holds a NUL")
    if dataset.rest is not None:
        yield f"strlen(_rest) > {super_bytes_max}", _too_long_super(dataset.rest, super_bytes_max)
        sentence = f"column {dataset.rest}: a text in an unmapped field holds a NUL"
        yield _holds_nul("_rest"), Fault("bad_encoding", dataset.rest, sentence)
    yield from _time_checks(dataset)


def _time_checks(dataset: Dataset) -> Iterator[tuple[str, Fault]]:
    time, oldest, days = dataset.event_time, dataset.event_time_oldest, dataset.event_time_future_days_max
    moment = f"v{_number(dataset, time)}"
    yield f"{moment} < TIMESTAMP '{oldest} 00:00:00'", Fault("bad_time", time, f"column {time}: before {oldest}")
    sentence = f"column {time}: more than {days} days after its arrival"
    yield f"{moment} > received_at + INTERVAL {days} DAY", Fault("bad_time", time, sentence)


def _too_long_super(name: str, bytes_max: int) -> Fault:
    return Fault("too_long", name, f"column {name}: longer than {bytes_max} bytes as JSON")


def _stored(n: int, column: Column) -> str:
    match column.mask:
        case "hash":
            return f"CASE WHEN s{n} IS NOT NULL THEN {_hmac('mask', f's{n}')} END"
        case "redact":
            return f"CASE WHEN s{n} IS NOT NULL THEN {_literal(REDACTED[: column.type.length])} END"
        case "last4":
            return f"CASE WHEN length(s{n}) >= 8 THEN '****' || right(s{n}, 4) WHEN s{n} IS NOT NULL THEN '****' END"
        case _:
            return truncated(f"v{n}", column.type.length) if column.truncate else f"v{n}"


def _record_id(dataset: Dataset) -> str:
    """Key columns' values before masking, each with its length in front: no two lists of values read the same."""
    match dataset.identity:
        case "key":
            values = [f"v{n}::VARCHAR" for n in (_number(dataset, name) for name in dataset.key)]
            source = " || ".join(f"strlen({v}) || ':' || {v}" for v in values)
        case "content":
            source = "record"
        case "message":
            source = "message_id || ':' || index"
    return f"left({_hmac('identity', source)}, {RECORD_ID_DIGITS})"


def _hmac(key: str, text: str) -> str:
    return f"sha256($outer_{key} || unhex(sha256($inner_{key} || encode({text}))))"


def _rest(dataset: Dataset) -> str:
    """What no column maps, as JSON; NULL when nothing is left. A merge patch with nulls removes mapped fields.

    It would turn a parent that is no object into an empty one, and invent parents that are absent, so a nested field
    is patched only where its parent is an object. A parent that mapping has emptied goes too.
    """
    if dataset.rest is None:
        return "NULL::VARCHAR"
    tops = [c.path for c in dataset.columns if len(c.path) == 1]
    remaining = _patched("record", _nulls(tops)) if tops else "record"
    parents = [parent for parent in _parents(dataset) if parent]
    for parent in parents:
        leaves = [c.path for c in dataset.columns if c.path[:-1] == parent]
        if leaves:
            is_object = f"json_type(_r, {_path(parent)}) = 'OBJECT'"
            remaining = _let(f"CASE WHEN {is_object} THEN {_patched('_r', _nulls(leaves))} ELSE _r END", remaining)
    for parent in parents:
        now, before = (f"json_extract({document}, {_path(parent)})::VARCHAR" for document in ("_r", "record"))
        emptied = f"{now} = '{{}}' AND {before} <> '{{}}'"
        remaining = _let(f"CASE WHEN {emptied} THEN {_patched('_r', _nulls([parent]))} ELSE _r END", remaining)
    return f"NULLIF({remaining}, '{{}}')"


def _parents(dataset: Dataset) -> list[tuple[str, ...]]:
    """Every path above a mapped field, the deepest first, down to the record itself."""
    above = {c.path[:length] for c in dataset.columns for length in range(len(c.path))}
    return sorted(above, key=lambda path: (-len(path), path))


def _twice(parent: tuple[str, ...]) -> str:
    """SQL: whether the object there has a key twice."""
    keys = f"json_keys(record, {_path(parent)})" if parent else "json_keys(record)"
    return f"list_unique({keys}) < len({keys})"


def _holds_nul(json: str) -> str:
    return f"contains({json}, '\\u0000') AND regexp_matches({json}, '{NUL_IN_JSON}')"


def _let(expression: str, value_of_r: str) -> str:
    """`expression` with `_r` bound, by a lambda over a list of one, so that each step is computed once."""
    return f"list_transform([{value_of_r}], lambda _r: {expression})[1]"


def _patched(document: str, patch: str) -> str:
    return f"json_merge_patch({document}, {_literal(patch)})::VARCHAR"


def _nulls(paths: Sequence[Sequence[str]]) -> str:
    tree: dict[str, object] = {}
    for path in paths:
        branch = tree
        for part in path[:-1]:
            branch = branch.setdefault(part, {})  # type: ignore[assignment]
        branch[path[-1]] = None
    return msgspec.json.encode(tree).decode()


def _number(dataset: Dataset, name: str) -> int:
    return [c.name for c in dataset.columns].index(name)


def _partition_format(dataset: Dataset) -> str:
    return "dt=%Y-%m-%d" if dataset.partition == "day" else "dt=%Y-%m-%d/hr=%H"


def _path(path: Sequence[str]) -> str:
    return _literal("$" + "".join(f'."{part}"' for part in path))


def _quoted(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
