"""What is sent, and what is known about it: the one account that the service has no part in."""

import base64
import gzip
import json
import random
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from service.core.datasets import Dataset
from service.core.definitions import load_datasets
from service.core.model import Attribute, Outgoing
from tests.fakes.world import DEFINITION
from tests.simulation.plan import Plan

SECRET = "ES9121000418450200051332"
"""Stands in every record; nothing that the service tells may hold it."""
REFUSED_AMOUNT = 666
"""What the warehouse refuses, until somebody mends it."""
BURSTS = (0.0, 0.5, 12.0, 30.0)
"""When messages are sent. Few moments, because every batch costs the simulation time."""
LATE = (48.0, 60.0, 75.0)
"""When something fails that failed before, at about the time when that is mailed."""
AFTER_A_REFUSAL = ("load-dlq send", "warehouse load_errors")
DATASETS_WANTED = {
    "events": (*AFTER_A_REFUSAL, "warehouse replayed_delete", "warehouse ledger_remove", "remove refined", "world"),
    "hours": ("warehouse stage_span",),
    "states": ("warehouse older_delete",),
    "notes": ("put marks",),
}
"""Where only one of the datasets leads to."""
LARGE_LETTERS = 530_000
"""Quotes: as JSON twice as long, so that a dead letter of them does not fit into a message, nor into a call."""
CROWD_MESSAGES = 160
MANY_BAD = 25
NOTES = "notes"
"""A dataset whose records are known by their messages: no two that are sent have the same event."""
SENT_BACK_SHARE = 0.25
DATASETS = {
    "events": DEFINITION,
    "hours": 'partition = "hour"\n' + DEFINITION.replace('key = ["event_id"]', 'key = ["event_id", "event_time"]'),
    "states": 'on_duplicate = "replace"\nversion = "amount"\n'
    + DEFINITION.replace('type = "integer"', 'type = "integer"\nrequired = true'),
    "notes": 'identity = "message"\n' + DEFINITION.replace('key = ["event_id"]\n', ""),
}
BAD = (
    SECRET,
    f'{{"event_id": "{SECRET}"}}',
    f'{{"event_id": "b", "event_time": "2025-12-01T10:00:00Z", "amount": "{SECRET}"}}',
    f'{{"event_id": "b", "event_time": "1999-12-01T10:00:00Z", "amount": 1, "note": "{SECRET}"}}',
)
"""Records of which each has something wrong with it, in every dataset."""

STRAYS = (
    SECRET,
    f'{{"acequia_dead_letter": 99, "error_id": "{SECRET}"}}',
    json.dumps({"acequia_dead_letter": 1, "raw_file": f"s3://elsewhere/{SECRET}", "places": [[0, 0]]}),
    f'{{"acequia_dead_letter": 1, "original": {{"uri": "s3://raw/{SECRET}"}}, "error_id": "../../',
)

Key = tuple[str, datetime | None]


@dataclass(frozen=True, slots=True)
class Sent:
    """A message: when it is sent, and the identity of each of its records (None for a bad one). No dataset: stray."""

    at: float
    dataset: str | None
    outgoing: Outgoing
    records: tuple[Key | None, ...]
    back: "Sent | None" = None
    """The message that this one was when it came first: somebody sends it back."""


def definitions() -> dict[str, Dataset]:
    """The datasets of every run."""
    with tempfile.TemporaryDirectory() as directory:
        for name, text in DATASETS.items():
            (Path(directory) / f"{name}.toml").write_text(text)
        return load_datasets(Path(directory))


def messages(plan: Plan) -> list[Sent]:
    """What producers send in that run, by time."""
    source = plan.random("producers")
    if plan.crowded:
        return sorted(_crowd(source), key=lambda one: one.at)
    sent = [*_good(source, _wanted(plan)), *_stray(source, large=plan.wants("put original"))]
    if plan.poisoned:
        bad = _message(source, "events", [_record(source, "events"), *[(BAD[0], None)] * MANY_BAD])
        sent.append(replace(bad, at=0.0))
    if plan.wants("warehouse older_delete"):
        sent += _versions(source)
    if any(map(plan.wants, AFTER_A_REFUSAL)) or any(fault.kind == "redrive load-dlq" for fault in plan.drawn):
        sent.append(_message(source, "events", [_record(source, "events", amount=REFUSED_AMOUNT)]))
    if plan.quarantined and not plan.peopled:
        late = _message(source, "events", [_record(source, "events"), (BAD[0], None)])
        sent.append(replace(late, at=source.choice(LATE)))
    if plan.peopled:
        sent += _mendable(source)
    again = source.choice([one for one in sent if one.dataset != NOTES])
    sent.append(Sent(source.choice(BURSTS), again.dataset, again.outgoing, again.records))
    if plan.wants("put marks") or source.random() < SENT_BACK_SHARE:
        sent.append(_sent_back(source, sent))
    return sorted(sent, key=lambda one: one.at)


def later_messages(plan: Plan) -> list[Sent]:
    """What comes once everything is calm: a good and a bad record, and one that is there already."""
    source = plan.random("later")
    record = _record(source, "events", number=900)
    return [_message(source, "events", [record, (BAD[0], None)]), _message(source, None, [(SECRET, None)])]


def _mendable(source: random.Random) -> Iterator[Sent]:
    """What fails until somebody has mended the definitions: a record that is too old, one that names no dataset."""
    yield _message(source, "events", [(BAD[3], None)])
    yield _message(source, None, [_record(source, "events")])


def strays(plan: Plan) -> list[tuple[float, str, Outgoing]]:
    """What lies in dead-letter queues and is no letter of ours: when it comes, and to which queue."""
    source = plan.random("strays")
    if not plan.quarantined or plan.peopled or source.random() < 0.5:
        return []
    chosen = source.sample(STRAYS, k=source.randint(1, 2))
    queues = ("records-dlq", "refine-dlq", "load-dlq")
    return sorted(
        ((source.choice(BURSTS), source.choice(queues), Outgoing(body)) for body in chosen), key=lambda one: one[0]
    )


def _sent_back(source: random.Random, sent: list[Sent]) -> Sent:
    """One of them once more, as reprocessing sends it."""
    first = source.choice([one for one in sent if one.dataset == NOTES] or [one for one in sent if one.dataset])
    return replace(first, at=max(first.at, BURSTS[-1]), back=first)


def _wanted(plan: Plan) -> list[str]:
    return [dataset for dataset, points in DATASETS_WANTED.items() if any(map(plan.wants, points))]


def _good(source: random.Random, wanted: list[str]) -> Iterator[Sent]:
    chosen = source.sample(sorted(DATASETS), k=source.choice((1, 2)))
    several = source.choices(("events", "states"), k=source.randint(0, 3))
    for dataset in [*sorted({*wanted, *chosen}), *several]:
        records: list[tuple[str, Key | None]] = [_record(source, dataset) for _ in range(source.randint(1, 3))]
        if source.random() < 0.5:
            records.insert(source.randint(0, len(records)), (source.choice(BAD), None))
        yield _message(source, dataset, records)


def _versions(source: random.Random) -> Iterator[Sent]:
    for at, amount in ((0.0, 1), (40.0, 9)):
        yield replace(_message(source, "states", [_record(source, "states", amount=amount, number=7)]), at=at)


def _crowd(source: random.Random) -> Iterator[Sent]:
    for number in range(CROWD_MESSAGES):
        yield replace(_message(source, "events", [_record(source, "events", number=number)]), at=0.0)


def _stray(source: random.Random, *, large: bool) -> Iterator[Sent]:
    yield _message(source, None, [(SECRET + '"' * LARGE_LETTERS if large else SECRET, None)])


def _record(
    source: random.Random, dataset: str, amount: int | None = None, number: int | None = None
) -> tuple[str, Key]:
    number = source.randint(1, 10**9 if dataset == NOTES else 6) if number is None else number
    moment = datetime(2025, 12, 1, 10, tzinfo=UTC) + timedelta(hours=source.choice((0, 0, 1, 14, 24)))
    amount = source.randint(1, 9) if amount is None else amount
    event_id = f"refused{amount}" if amount == REFUSED_AMOUNT else f"e{number}"
    record = {
        "event_id": event_id,
        "event_time": moment.isoformat(),
        "amount": amount,
        "note": SECRET,
    }
    return json.dumps(record), (event_id, moment.replace(tzinfo=None) if dataset == "hours" else None)


def _message(source: random.Random, dataset: str | None, records: list[tuple[str, Key | None]]) -> Sent:
    lines = [text for text, _ in records]
    body = "\n".join(lines)
    form = source.choice(("lines", "lines", "array", "gzip", "sns"))
    if form == "array" and all(key is not None for _, key in records):
        body = f"[{','.join(lines)}]"
    if form == "gzip" and dataset is not None:
        body = base64.b64encode(gzip.compress(body.encode(), mtime=0)).decode()
    if form == "sns" and dataset is not None:
        body = json.dumps({"Type": "Notification", "TopicArn": "arn", "Message": body})
    attributes = {} if dataset is None else {"dataset": Attribute("String", dataset)}
    keys = tuple(key for _, key in records)
    return Sent(source.choice(BURSTS), dataset, Outgoing(body, attributes), keys)
