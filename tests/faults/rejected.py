"""What was rejected, as it lies in the stores when all is over, and what must hold of it.

no loss       every rejected thing is one row of `acequia.errors`, and no dead-letter queue holds anything
not twice     an `error_id` is one row there, whatever the number of error files that tell of it
order         no letter leaves its queue before its rows, their original, their notice, its count and its copy are there
counted       each fingerprint has been counted as often as it has rows
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from service.core.zones import split_uri
from tests.faults.history import Entry, chosen
from tests.faults.line import LAYERS, Line
from tests.faults.stores import Letter, Stored, letters_on, objects_in

_ROWS = "SELECT error_id, fingerprint, layer, code, field, state FROM acequia.errors WHERE _raw_file LIKE '{zone}/%'"


@dataclass(frozen=True)
class ErrorRow:
    """A row of the warehouse's table."""

    error_id: str
    fingerprint: str
    layer: str
    code: str
    field: str | None
    state: str


@dataclass(frozen=True)
class Told:
    """An error row as it lies in a file of the errors zone; a message without a letter of ours has its id alone."""

    uri: str
    error_id: str
    fingerprint: str
    message_id: str | None
    original_uri: str | None
    state: str


@dataclass(frozen=True)
class Rejected:
    """All of one line. `told` are the rows of all error files, `states` what is known by fingerprint."""

    rows: Sequence[ErrorRow]
    told: Sequence[Told]
    states: Mapping[str, Mapping[str, Any]]
    rounds: Mapping[str, Mapping[str, Any]]
    portions: Mapping[str, Mapping[str, Any]]
    copies: Sequence[Letter]
    dead: int

    def by_state(self) -> Counter[str]:
        """How many rows say what."""
        return Counter(row.state for row in self.rows)


async def error_rows(line: Line) -> list[ErrorRow]:
    """The rows of `acequia.errors` that are this line's."""
    return [ErrorRow(*row) for row in await line.ask(_ROWS.replace("{zone}", line.zone("errors")))]


async def dead_letters(line: Line) -> int:
    """Messages in the dead-letter queues."""
    return sum([sum(await line.depth(f"{layer}-dlq")) for layer in LAYERS])


async def read_rejected(line: Line) -> Rejected:
    """Look at everything. Copies on the reprocess queue stay there, invisible for a while."""
    zone = await objects_in(line, "errors")
    named = {uri.removeprefix(f"{line.zone('errors')}/"): one for uri, one in zone.items()}
    rounds = {key: json.loads(one.body) for key, one in named.items() if key.startswith("rounds/")}
    return Rejected(
        rows=await error_rows(line),
        told=[row for key, one in named.items() if key.startswith("errors/") for row in _told(one)],
        states={key: json.loads(one.body) for key, one in named.items() if _is_state(key)},
        rounds={key: one for key, one in rounds.items() if key.count("/") == 1},
        portions={key: one for key, one in rounds.items() if key.count("/") == 2},
        copies=await letters_on(line, "reprocess"),
        dead=await dead_letters(line),
    )


async def check_rejected(line: Line, codes: Mapping[str, int]) -> Rejected:
    """Check what the quarantine layer promises, where so many things were rejected for these reasons."""
    history, found = line.history.read(), await read_rejected(line)
    problems = [*_kept(found, codes), *_counted(found), *order_of_letters(history, found)]
    assert not problems, "\n".join(problems[:20])
    return found


def _kept(found: Rejected, codes: Mapping[str, int]) -> Iterator[str]:
    if Counter(row.code for row in found.rows) != Counter(codes):
        yield f"acequia.errors has {dict(Counter(row.code for row in found.rows))}, but was rejected {dict(codes)}"
    twice = [key for key, count in Counter(row.error_id for row in found.rows).items() if count > 1]
    if twice:
        yield f"{len(twice)} errors are there more than once"
    if found.dead:
        yield f"{found.dead} dead letters are left"
    if {row.error_id for row in found.rows} != {row.error_id for row in found.told}:
        yield "the error files tell of other errors than the table"


def _counted(found: Rejected) -> Iterator[str]:
    rows = Counter(row.fingerprint for row in found.rows)
    counted = Counter({one["fingerprint"]: one["failed"] for one in found.states.values()})
    if rows != counted:
        yield f"by fingerprint there are {sorted(rows.items())}, but counted were {sorted(counted.items())}"


@dataclass
class _Reached:
    """What is durable so far, as the history is read."""

    received: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Receipt → the letter's error id, empty for a bare message, and the message's id."""
    put: set[str] = field(default_factory=set)
    announced: set[str] = field(default_factory=set)
    copied: set[str] = field(default_factory=set)

    def learn(self, entry: Entry) -> None:
        """One effect more."""
        if entry.operation == "PutObject" and entry.facts["status"] in (200, 412):
            self.put.add(f"s3://{entry.target}")
        for message in entry.facts.get("messages", ()):
            if entry.operation == "ReceiveMessage":
                self.received[message["receipt"]] = (message.get("letter", ""), message["id"])
            elif entry.target.endswith("-load"):
                self.announced |= self.put.intersection(message.get("files", ()))
            elif entry.target.endswith("-reprocess"):
                self.copied |= {message.get("letter", "")}


def order_of_letters(history: Sequence[Entry], found: Rejected) -> Iterator[str]:
    """Letters that left their queue before they were kept, and copies before what they are about was sent back."""
    reached = _Reached()
    for entry in history:
        if entry.what == "done":
            reached.learn(entry)
        elif entry.what == "asked" and entry.operation == "DeleteMessageBatch":
            judge = (
                _unkept if entry.target.endswith("-dlq") else _unsent if entry.target.endswith("-reprocess") else None
            )
            for receipt in entry.facts["receipts"].values() if judge else ():
                missing = judge(reached, found, *reached.received.get(receipt, ("", ""))) if judge else ""
                if missing:
                    yield f"{entry.target}: deleted before {missing} (entry {entry.number})"


def _unkept(reached: _Reached, found: Rejected, letter: str, message_id: str) -> str:
    """What of a dead letter is not there yet."""
    rows = [row for row in found.told if letter == row.error_id or (not letter and message_id == row.message_id)]
    kept = [row for row in rows if row.state == "open" and row.uri in reached.announced]
    if not kept:
        return "its rows were stored and announced"
    if any(row.original_uri is None or row.original_uri not in reached.put for row in kept):
        return "its original was stored"
    if not any(uri.endswith(f"/fingerprints/{kept[0].fingerprint}.json") for uri in reached.put):
        return "it was counted"
    return "" if kept[0].error_id in reached.copied else "its copy was sent"


def _unsent(reached: _Reached, found: Rejected, letter: str, _: str) -> str:
    """What of a copy's way back is not there yet. Rows may be announced later: whoever chooses reads their files."""
    rows = [row for row in found.told if row.error_id == letter and row.state in ("reprocessed", "resolved")]
    if not any(row.uri in reached.put for row in rows):
        return "its rows say that it was sent back"
    written = {key for key, one in found.portions.items() if any(letter in item["error_ids"] for item in one["items"])}
    return "" if any(uri.endswith(tuple(written)) for uri in reached.put if written) else "its round knows of it"


def announced(line: Line, queue: str) -> list[str]:
    """The files that were announced on that queue, as often as they were."""
    sent = chosen(line.history.read(), "done", "SendMessageBatch", line.queue(queue))
    return [uri for entry in sent for message in entry.facts["messages"] for uri in message.get("files", ())]


def _told(one: Stored) -> list[Told]:
    names = ("error_id", "fingerprint", "message_id", "original_uri", "state")
    columns = [one.table.column(name).to_pylist() for name in names]
    return [Told(one.uri, *row) for row in zip(*columns, strict=True)]


def _is_state(key: str) -> bool:
    return key.startswith("fingerprints/") and not key.startswith("fingerprints/_")


def place_of(line: Line, key: str) -> tuple[str, str]:
    """Bucket and key of an object in the line's errors zone."""
    return split_uri(f"{line.zone('errors')}/{key}")
