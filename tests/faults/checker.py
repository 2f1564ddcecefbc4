"""The one checker of all scenarios. It reads the proxy's history and the stores, and nothing that a worker says.

no loss       what was sent is in the table or in a dead letter, and no queue holds anything
not twice     each event and each `_record_id` is at most once in the table; a file at most once in the ledger
order         no message is deleted before its effect is there, by the history's order
objects       every refined object opens, and has the rows and the ETag that the ledger says; manifests name what is
it adds up    raw = refined + rejected, refined = inserted + duplicate + replaced, distinct records = rows
confinement   no call to a queue, prefix or table that is not the line's own
sometimes     every fault happened, and work was unfinished when it did
"""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from service.core.zones import batch_of, split_uri
from service.local.stack import ZONES
from tests.faults.calls import content
from tests.faults.history import Entry, chosen
from tests.faults.line import LAYERS, Line
from tests.faults.rules import Rule
from tests.faults.stores import Letter, Stores, read_stores


async def check(
    line: Line,
    sent: Iterable[str],
    *,
    faults: Collection[Rule],
    rejected: Collection[str] = (),
    codes: Mapping[str, int] | None = None,
    opaque: bool = False,
) -> Stores:
    """Check everything, and give what lies in the stores.

    `sent` are the records' texts, `rejected` the event ids that must not be in the table, `codes` how many failures
    have dead letters. `opaque` says that bodies are not one record a line, so that raw files cannot be counted here.
    """
    assert await line.left() == 0, "work is left"
    history, stores = line.history.read(), await read_stores(line)
    expected = {json.loads(text)["event_id"] for text in sent} - set(rejected)
    problems = [
        *_loss(stores, expected, codes or {}),
        *_twice(stores),
        *order(history, stores),
        *_objects(stores),
        *_adds_up(history, stores, opaque=opaque),
        *confinement(history, line),
        *(f"the fault {rule.name} never happened" for rule in faults if not rule.fired),
        *(f"nothing was left to do when {rule.name} happened" for rule in faults if not unfinished(history, rule)),
    ]
    assert not problems, "\n".join(problems[:20])
    return stores


def unfinished(history: Sequence[Entry], rule: Rule) -> bool:
    """Whether a message was settled after the fault: then it was not finished when it happened."""
    first = next((one.number for one in history if one.what == "fault" and one.facts["rule"] == rule.name), None)
    settled = (one for one in chosen(history, "done", "DeleteMessageBatch") if one.facts.get("receipts"))
    return first is not None and any(one.number > first for one in settled)


def _loss(stores: Stores, expected: set[str], codes: Mapping[str, int]) -> Iterator[str]:
    there = set(stores.events)
    if there != expected:
        lost, strange = sorted(expected - there), sorted(there - expected)
        yield f"{len(lost)} of {len(expected)} events are lost ({lost[:3]}), {len(strange)} are strange ({strange[:3]})"
    if stores.letters_by_code() != Counter(codes):
        yield f"dead letters: {dict(stores.letters_by_code())}, but they should be {dict(codes)}"


def _twice(stores: Stores) -> Iterator[str]:
    for name, counts in (("event", stores.events), ("_record_id", stores.record_ids)):
        twice = [key for key, count in counts.items() if count > 1]
        if twice:
            yield f"{len(twice)} {name}s are there more than once"
    if stores.ledger_rows != len(stores.ledger):
        yield "a file is in the ledger more than once"


def order(history: Sequence[Entry], stores: Stores) -> Iterator[str]:
    """Messages that were deleted before their durable effect."""
    effects = _Effects(stores)
    for entry in history:
        if entry.what == "done":
            effects.learn(entry)
        elif entry.what == "asked" and entry.operation == "DeleteMessageBatch":
            for receipt in entry.facts["receipts"].values():
                if not effects.durable(entry.target, receipt):
                    yield f"{entry.target}: deleted before its effect was there (entry {entry.number})"


class _Effects:
    """What is durable so far, as the history is read."""

    def __init__(self, stores: Stores) -> None:
        self._landed = {uri: stores.landed(uri) for uri in stores.raw}
        self._about = stores.about
        self._received: dict[str, tuple[str, Sequence[str]]] = {}
        self._safe: set[str] = set()
        """Ids of messages in announced raw objects, and of those with dead letters."""
        self._put: set[str] = set()
        self._refined: set[str] = set()
        """Landed batches of which refined files were announced, or dead letters sent."""
        self._committed: set[str] = set()
        self._again: set[tuple[str, tuple[str, ...]]] = set()
        """Notices that were sent to their own queue once more, to come later: what is deferred."""

    def learn(self, entry: Entry) -> None:
        """One effect more."""
        if entry.operation == "PutObject" and entry.facts["status"] == 200:
            self._put.add(f"s3://{entry.target}")
        if entry.operation == "COMMIT":
            self._committed |= set(entry.facts.get("uris", ()))
        for message in entry.facts.get("messages", ()):
            files = tuple(message.get("files", ()))
            if entry.operation == "ReceiveMessage":
                self._received[message["receipt"]] = (message["id"], files)
            if entry.operation == "SendMessageBatch":
                self._learn_sent(entry.target, message, files)

    def _learn_sent(self, queue: str, message: Mapping[str, Any], files: tuple[str, ...]) -> None:
        if message.get("delay"):
            self._again.add((queue, files))
        if "letter" in message:
            self._safe |= {about for about in (self._about(message),) if about}
            self._refined |= {batch_of(message["raw_file"])} if message.get("raw_file") else set()
        for uri in files:
            if queue.endswith("-refine") and uri in self._put:
                self._safe |= self._landed.get(uri, set())
            if queue.endswith("-load"):
                self._refined.add(batch_of(uri))

    def durable(self, queue: str, receipt: str) -> bool:
        """Whether what the message stands for has its next durable place. A receipt nobody got is never durable."""
        message_id, files = self._received.get(receipt, ("", ()))
        if message_id in self._safe or (files and (queue, files) in self._again):
            return True
        if queue.endswith("-refine"):
            return bool(files) and all(batch_of(uri) in self._refined for uri in files)
        return bool(files) and all(uri in self._committed for uri in files) if queue.endswith("-load") else False


def _objects(stores: Stores) -> Iterator[str]:
    for uri, entry in stores.ledger.items():
        found = stores.refined.get(uri)
        if found is None:
            yield f"the ledger has {uri}, the lake has not"
        elif (found.table.num_rows, found.etag) != (entry.row_count, entry.etag):
            yield f"{uri}: other rows or another ETag than the ledger says"
    for uri, manifest in stores.manifests.items():
        for entry in json.loads(manifest.body)["entries"]:
            if entry["url"] not in stores.refined:
                yield f"{uri} names {entry['url']}, which is not there"


def _adds_up(history: Sequence[Entry], stores: Stores, *, opaque: bool) -> Iterator[str]:
    sent = chosen(history, "done", "SendMessageBatch")
    announced = {uri for one in sent for message in one.facts["messages"] for uri in message.get("files", ())}
    for uri in announced & set(stores.raw):
        if not opaque:
            yield from _raw_adds_up(uri, stores)
    for uri, entry in stores.ledger.items():
        if entry.row_count != entry.inserted + entry.duplicate + entry.replaced:
            yield f"{uri}: rows are not inserted + duplicate + replaced"
    refused = {uri for one in stores.letters for uri in _files_of(one)}
    loose = set(stores.refined) - set(stores.ledger) - refused
    if loose:
        yield f"{len(loose)} refined files are in no ledger, such as {min(loose)}"
    live = {key for uri in stores.ledger for key in stores.refined[uri].table.column("_record_id").to_pylist()}
    if live != set(stores.record_ids):
        yield f"{len(live)} records in live files, {len(stores.record_ids)} in the table"


def _raw_adds_up(uri: str, stores: Stores) -> Iterator[str]:
    bodies = stores.raw[uri].table.column("body").to_pylist()
    records = sum(bool(line.strip()) for body in bodies for line in body.split("\n"))
    refined = sum(one.table.num_rows for one in stores.refined_of(uri))
    places = {
        tuple(place)
        for letter in stores.letters
        if letter.facts.get("raw_file") == uri
        for place in json.loads(letter.body)["places"]
    }
    if records != refined + len(places):
        yield f"{uri}: {records} records, but {refined} refined and {len(places)} rejected"


def _files_of(letter: Letter) -> list[str]:
    """The files of a notice that went to dead letters."""
    original = json.loads(letter.body).get("original") if letter.queue == "load-dlq" else None
    return list(content(original["body"]).get("files", [])) if original else []


def confinement(history: Sequence[Entry], line: Line) -> Iterator[str]:
    """Calls that went somewhere else than the line's own places."""
    queues = {line.queue(name) for layer in LAYERS for name in (layer, f"{layer}-dlq")}
    prefixes = tuple("/".join(split_uri(line.zone(zone))) + "/" for zone in ZONES)
    tables = {place for name in line.datasets for place in (f"lake.{name}", f"acequia.load_ledger_{name}")}
    for entry in history:
        if entry.what != "asked":
            continue
        if entry.service == "sqs" and entry.target not in queues:
            yield f"{entry.operation} to the queue {entry.target}"
        if entry.service == "s3" and entry.operation != "DeleteObjects" and not entry.target.startswith(prefixes):
            yield f"{entry.operation} of {entry.target}"
        if entry.service == "warehouse" and not set(entry.facts.get("tables", ())) <= tables:
            yield f"{entry.operation} in {entry.facts['tables']}"
