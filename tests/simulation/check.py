"""The checker: what must be true after every run, whatever went wrong. Looks at the stores and the journal."""

from collections import Counter
from collections.abc import Callable
from operator import itemgetter
from typing import Final

from service.core.errors_dataset import ERRORS
from service.core.notice import FileNotice
from service.core.zones import Zone, batch_of, raw_place
from tests.simulation import people_check
from tests.simulation.check_letters import copies, counts, mails, rows, settled_last
from tests.simulation.check_order import order
from tests.simulation.check_process import bounded, confined, counted, ended, going_on, isolated, spared, timely
from tests.simulation.facts import Facts
from tests.simulation.producers import Key
from tests.simulation.run import BrokenError, Run

RAW = Zone.parse("raw", "s3://raw")
ALLOWED: Final = {
    "records-dlq": {"unknown_dataset"},
    "refine-dlq": {"bad_json", "missing_required", "bad_type", "bad_time", "missing_object", "bad_notice"},
    "load-dlq": {"load_refused", "missing_object", "bad_notice"},
}

LOST: Final = {"refine-dlq": {"lose raw"}, "load-dlq": {"lose refined"}}
"""Whose loss a layer cannot mend by itself."""


def check(run: Run) -> None:
    """Raises BrokenError for the first promise that was not kept."""
    facts = Facts(run)
    promises: tuple[Callable[[Facts], None], ...] = (
        letters,
        landed,
        refined,
        files,
        kept,
        ledger,
        tables,
        sums,
        replaced,
        order,
        timely,
        isolated,
        spared,
        going_on,
        bounded,
        confined,
        counted,
        ended,
        rows,
        copies,
        counts,
        mails,
        settled_last,
        *(people_check.promises if run.people is not None else ()),
    )
    for promise in promises:
        promise(facts)


def letters(facts: Facts) -> None:
    """Promise 5: only what is bad has a dead letter, and SQS moved nothing by itself."""
    kinds = {fault.kind for fault in facts.run.fired}
    for queue, found in facts.letters.items():
        for _, letter in found:
            code = letter.get("code")
            _must(code in ALLOWED[queue], f"I1: {queue} holds a letter with the code {code}")
            lost = LOST.get(queue, set()) & kinds
            _must(code != "missing_object" or lost != set(), f"I1: {queue}: nobody lost an object: {letter}")
            if code == "load_refused":
                uris = facts.files_of(letter)
                refused = any(facts.run.refuses(row) for uri in uris for row in facts.rows(uri))
                late = letter["sentence"].startswith("records of its raw file were sent back")
                _must(
                    refused or lost != set() or "short" in kinds or late,
                    f"I1: {queue}: nothing was wrong with these files: {letter}",
                )
            redriven = code != "bad_notice" or f"redrive {queue}" in kinds
            _must(redriven, f"I1: {queue}: our own notice was not understood: {letter}")


def landed(facts: Facts) -> None:
    """I1: each message is in a raw file that was announced, or in a letter that holds it byte for byte."""
    rows = {facts.message_of(row): row["message_id"] for found in facts.raw_files.values() for row in found}
    strays = [facts.original(letter) for _, letter in facts.letters["records-dlq"]]
    stray = {original["message_id"]: original for original in strays}
    for message_id, sent in facts.run.sent.items():
        if sent.dataset is not None:
            _must(message_id in rows, f"I1: {message_id} is in no raw file that was announced")
            first = facts.run.marks[message_id].origin if message_id in facts.run.marks else message_id
            _must(
                rows[message_id] == first,
                f"I2: {message_id} stands in a raw file as {rows[message_id]}, not as {first}",
            )
            continue
        _must(message_id in stray, f"I1: {message_id}, of no dataset, has no letter")
        _must(stray[message_id]["body"] == sent.outgoing.body, f"I1: the letter about {message_id} has another body")
        given = {name: value.as_json() for name, value in sent.outgoing.attributes.items()}
        _must(stray[message_id]["attributes"] == given, f"I1: the letter about {message_id} has other attributes")


def refined(facts: Facts) -> None:
    """I1 and promise 7: of each raw file every record is refined or has a letter; none both, none twice."""
    for raw_file in facts.raw_files:
        if raw_file in facts.given_up_raw:
            continue
        good: Counter[Key] = Counter()
        bad: set[tuple[int, int]] = set()
        for row, sent in facts.truth(raw_file):
            for index, key in enumerate(sent.records):
                if key is None:
                    bad.add((row, index))
                else:
                    good[key] += 1
        _must(
            facts.places.get(raw_file, set()) == bad,
            f"I1: the letters about {raw_file} name other records than bad ones",
        )
        _must(_rows_of(facts, raw_file) == good, f"I1: what was refined of {raw_file} is not what is good in it")


def files(facts: Facts) -> None:
    """I4 and I5: files are as their notices say, and each has reached the ledger or a letter."""
    known = {uri for dataset in facts.datasets for uri in facts.entries(dataset)}
    for queue in ("refine", "load"):
        for _, notice in facts.notices(queue):
            for file in notice.files:
                body = facts.run.objects.get(file.uri)
                _must(body is not None, f"I4: {file.uri} was announced and never stored")
                assert body is not None
                _must(len(facts.rows(file.uri)) == file.rows, f"I4: {file.uri} has other rows than announced")
                _must(len(body) == file.content_length_bytes, f"I4: {file.uri} has another length than announced")
                done = queue == "refine" or file.uri in known or file.uri in facts.given_up_refined
                done = done or (notice.replaces is not None and _in_vain(facts, notice))
                _must(done, f"I5: {file.uri} was announced, and is neither in the ledger nor in a letter")
    for uri in facts.run.world.store.objects:
        if uri.startswith("s3://refined/") and "/_manifests/" not in uri:
            named = uri in known or uri in facts.given_up_refined or _raw_is_given_up(facts, uri)
            _must(named, f"I5: {uri} lies in the lake, and is neither in the ledger nor in a letter")


def kept(facts: Facts) -> None:
    """I4: a refined file is removed only after the COMMIT that put others in its place."""
    gone = facts.run.removed_live
    _must(not gone, f"I4: removed while the ledger says that its rows are in the table: {gone}")


def ledger(facts: Facts) -> None:
    """I5 and promise 7: each file's rows are inserted, replaced or duplicate, and it is the file that lies there."""
    for dataset in facts.datasets:
        twice = [uri for uri, times in Counter(facts.ledger_uris(dataset)).items() if times > 1]
        _must(not twice, f"I5: {dataset}'s ledger holds a file twice: {twice}")
        for uri, entry in facts.entries(dataset).items():
            if not entry.etag and entry.superseded_at is not None:
                continue
            parts = (entry.inserted, entry.duplicate, entry.replaced)
            _must(min(parts) >= 0, f"I5: {uri}: {parts}")
            _must(entry.row_count == sum(parts), f"I5: {uri}: {entry.row_count} rows, but {parts}")
            _must(entry.row_count == len(facts.rows(uri)), f"I5: {uri}: the ledger counts other rows than it has")
            _must(entry.bytes == len(facts.run.objects[uri]), f"I5: {uri}: the ledger has another length")


def replaced(facts: Facts) -> None:
    """A replay: of a raw file the latest word counts, and what it superseded is gone from the lake."""
    put: set[str] = set()
    removed: set[str] = set()
    for effect, details in facts.effects:
        if effect.startswith("remove "):
            removed.update(details)
            put.difference_update(details)
        elif effect.startswith("put "):
            put.add(details[0])
    for raw_file, notices in facts.replays.items():
        dataset = raw_place(RAW, raw_file).dataset
        theirs = {u: e for u, e in facts.entries(dataset).items() if batch_of(u) == batch_of(raw_file)}
        live = {uri for uri, entry in theirs.items() if entry.superseded_at is None}
        latest = {file.uri for file in notices[-1].files}
        _must(live == latest, f"7: not the latest replay of {raw_file} counts")
        lie = {uri for uri in theirs.keys() - live if uri in facts.run.world.store.objects}
        _must(not lie - (put & removed), f"7: superseded files lie in the lake: {sorted(lie)}")


def sums(facts: Facts) -> None:
    """Promise 7: what the ledger says was inserted is what the table has, but for rows that a replay took away."""
    if facts.run.replayed:
        return
    for dataset in facts.datasets:
        inserted = sum(entry.inserted for entry in facts.entries(dataset).values())
        rows = len(facts.run.world.warehouse.rows(dataset))
        _must(inserted == rows, f"7: {dataset} has {rows} rows, and its ledger says {inserted}")


def tables(facts: Facts) -> None:
    """I2 and promise 7: a table has each record of its live files once, as one of them has it."""
    for dataset, definition in facts.datasets.items():
        live = [uri for uri, entry in facts.entries(dataset).items() if entry.superseded_at is None]
        given = [row for uri in live for row in facts.rows(uri)]
        rows = facts.run.world.warehouse.rows(dataset)
        ids = Counter(row["_record_id"] for row in rows)
        _must(max(ids.values(), default=1) == 1, f"I2: {dataset} has a record twice")
        _must(set(ids) == {row["_record_id"] for row in given}, f"7: {dataset} has other records than its live files")
        keys = Counter(_key(dataset, row) for row in rows)
        _must(max(keys.values(), default=1) == 1, f"I2: {dataset} has an event twice")
        _must(all(row in given for row in rows), f"7: {dataset} has a row that no live file has")
        if definition.version is not None:
            by_version = sorted(given, key=itemgetter(definition.version))
            highest = {row["_record_id"]: row[definition.version] for row in by_version}
            _must(
                all(row[definition.version] == highest[row["_record_id"]] for row in rows),
                f"7: {dataset} has a record in a lower version than the highest",
            )
        refused = [row for row in rows if facts.run.refuses(row)]
        _must(not refused or facts.run.mended, f"I2: {dataset} has what the warehouse refused")


def _in_vain(facts: Facts, replay: FileNotice) -> bool:
    """Whether a later replay of the same raw file counts: then what this one made is of no use to anybody."""
    assert replay.replaces is not None
    return facts.replays[replay.replaces.raw_file][-1].produced_at > replay.produced_at


def _raw_is_given_up(facts: Facts, refined_file: str) -> bool:
    """Refine may die half-way, and find the raw file gone when it comes back: then nobody announces what it made."""
    return any(batch_of(raw) == batch_of(refined_file) for raw in facts.given_up_raw)


def _rows_of(facts: Facts, raw_file: str) -> Counter[Key]:
    dataset = raw_file.removeprefix("s3://raw/").partition("/")[0]
    [first, *_] = [n for _, n in facts.notices("refine") if n.files[0].uri == raw_file and n.replaces is None]
    return Counter(_key(dataset, row) for uri in facts.refined(first) for row in facts.rows(uri))


def _key(dataset: str, row: dict[str, object]) -> Key:
    if dataset == ERRORS.name:
        return str(row["error_id"]), None
    return str(row["event_id"]), row["event_time"] if dataset == "hours" else None  # type: ignore[return-value]


def _must(kept: bool, otherwise: str) -> None:  # noqa: FBT001 (reads as a sentence)
    if not kept:
        raise BrokenError(otherwise)
