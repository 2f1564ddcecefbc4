"""Dead letters, raw files and a quarantine layer on fakes."""

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from service.core.datasets import Dataset
from service.core.dead_letter import DeadLetter, Place
from service.core.errors import RejectedError
from service.core.model import Attribute, Batch, Held, Message
from service.core.notice import FileNotice
from service.core.ports import Means
from service.core.zones import Zone
from service.land.encode import encode
from service.quarantine.arrivals import Source
from service.quarantine.quarantine import Quarantine, Quarantined, Skills, Ways
from service.quarantine.records import Landed
from service.quarantine.states import States
from tests.fakes.journal import Journal
from tests.fakes.queue import FakeQueue
from tests.fakes.store import FakeStore
from tests.fakes.time import InlineFanOut, InlineThreads, LoopClock

NOON = datetime(2024, 3, 4, 12, tzinfo=UTC)
SEALED = NOON + timedelta(minutes=5)
RAW, ERRORS_ZONE = Zone("raw", "raw", ""), Zone("errors", "errors", "")
RAW_FILE = "s3://raw/loans/dt=2024-03-04/hr=11/20240304T115959123Z-0123456789abcdef.parquet"
UNOPENABLE = "H4sI"
DEFINITION = """
key = ["id"]
event_time = "at"
rest = "rest"
event_time_oldest = 1000-01-01
[[column]]
name = "id"
type = "varchar(32)"
required = true
[[column]]
name = "at"
type = "timestamp"
required = true
[[column]]
name = "amount"
path = "loan.amount"
type = "integer"
[[column]]
name = "document"
path = "customer.document"
type = "varchar(64)"
mask = "hash"
[[column]]
name = "customer"
type = "super"
"""

Row = dict[str, Any]


def raw_file(*bodies: str) -> bytes:
    """A raw file of the messages m0, m1, …"""
    return encode([dead(body, f"m{number}") for number, body in enumerate(bodies)], "records")


def dead(body: str, message_id: str = "d0", receive_count: int = 1, **attributes: str) -> Message:
    """A message as the dead-letter queue hands it out."""
    told = {name: Attribute("String", value) for name, value in attributes.items()}
    return Message(message_id, body, told, NOON, NOON + timedelta(minutes=1), receive_count, f"receipt of {message_id}")


def about_records(
    *places: Place, message_id: str = "d0", failed_at: datetime = NOON, uri: str = RAW_FILE, **changed: Any
) -> Message:
    """A letter of refine's."""
    told: dict[str, Any] = {"code": "bad_type", "sentence": "column amount: no integer", "column": "amount", **changed}
    letter = DeadLetter("refine", "loans", **told, failed_at=failed_at, definition="0a", raw_file=uri, places=places)
    outgoing = letter.outgoing()
    return Message(message_id, outgoing.body, outgoing.attributes, NOON, NOON, 1, f"receipt of {message_id}")


def about_message(original: Message, *, message_id: str = "d0", **changed: Any) -> Message:
    """A letter about a message that failed whole, by default in land."""
    told: dict[str, Any] = {
        "layer": "land",
        "dataset": "",
        "code": "unknown_dataset",
        "sentence": "no dataset",
        **changed,
    }
    letter = DeadLetter(column=None, failed_at=NOON, original=original, **told)
    outgoing = letter.outgoing()
    return Message(message_id, outgoing.body, outgoing.attributes, NOON, NOON, 1, f"receipt of {message_id}")


def batch_of(*messages: Message, sealed_at: datetime = SEALED) -> Batch[None]:
    return Batch("errors", [Held(message, None) for message in messages], "age", sealed_at, 1)


def read_lines(raw: bytes, places: Sequence[Place]) -> list[Landed | None]:
    """The port in small: bodies are NDJSON, and one that begins like gzip cannot be opened."""
    try:
        rows = pq.read_table(io.BytesIO(raw)).to_pylist()
    except pa.ArrowException:
        raise RejectedError("bad_file", "no raw file") from None
    found: list[Landed | None] = []
    for row, index in places:
        body = rows[row]["body"] if row < len(rows) else ""
        texts = [body] if body.startswith(UNOPENABLE) else body.split("\n")
        there = row < len(rows) and index < len(texts)
        found.append(Landed(texts[index], rows[row]["message_id"], rows[row]["sent_at"]) if there else None)
    return found


def sound(_: Message) -> RejectedError | None:
    """The layer's own checks find nothing."""
    return None


@dataclass
class Bench:
    """A quarantine layer, and what outlives its process. Made inside a running loop."""

    datasets: dict[str, Dataset]
    source: Source = "refine"
    check: Callable[[Message], RejectedError | None] = sound
    journal: Journal = field(default_factory=Journal)
    told: list[Quarantined] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = FakeStore(self.journal)
        self.load_queue = FakeQueue("load", self.journal)
        self.reprocess_queue = FakeQueue("reprocess", self.journal)
        self.means = Means(self.store, InlineThreads(), InlineFanOut(), LoopClock(), lambda _: None)
        self.states = States(ERRORS_ZONE, self.means)

    def layer(self) -> Quarantine:
        """As a process that has just begun has it."""
        return Quarantine(
            self.source,
            zones=(RAW, ERRORS_ZONE),
            datasets=self.datasets,
            skills=Skills(read_lines, self.check),
            ways=Ways(self.load_queue, self.reprocess_queue, self.states),
            told=self.told.append,
            means=self.means,
        )

    async def take(self, *messages: Message, sealed_at: datetime = SEALED) -> None:
        """One batch, from sorting to the end."""
        layer = self.layer()
        for message in messages:
            layer.sort(message)
        outcome = await layer.handle(batch_of(*messages, sealed_at=sealed_at))
        assert not outcome.rejected
        assert not outcome.deferred

    def rows(self) -> list[Row]:
        """Every announced error row; what a notice says of its files is true."""
        rows: list[Row] = []
        for body in dict.fromkeys(self.load_queue.bodies):
            notice = FileNotice.from_json(body)
            assert (notice.dataset, notice.zone) == ("errors", "errors")
            for file in notice.files:
                found = pq.read_table(io.BytesIO(self.store.objects[file.uri])).to_pylist()
                moments = sorted(row["first_failed_at"].replace(tzinfo=UTC) for row in found)
                assert (file.rows, file.event_time_min, file.event_time_max) == (len(found), moments[0], moments[-1])
                assert file.content_length_bytes == len(self.store.objects[file.uri])
                assert {row["_raw_file"] for row in found} == {file.uri}
                assert f"dt={moments[0].date()}" in file.uri
                assert moments[0].date() == moments[-1].date()
                rows.extend(found)
        return rows

    def table(self) -> dict[str, Row]:
        """What the warehouse would have: of one failure the highest version."""
        by_version = sorted(self.rows(), key=lambda row: row["updated_at"])
        return {row["error_id"]: row for row in by_version}

    def originals(self) -> dict[str, Row]:
        """Everything under originals/ in batches' files."""
        files = [body for uri, body in self.store.objects.items() if "originals/" in uri and uri.endswith(".parquet")]
        return {row["error_id"]: row for body in files for row in pq.read_table(io.BytesIO(body)).to_pylist()}

    def counted(self) -> dict[str, int]:
        """Failures by code, as the fingerprints' objects have them."""
        states = [json.loads(body) for uri, body in self.store.objects.items() if "fingerprints/" in uri]
        counts: dict[str, int] = {}
        for state in states:
            counts[state["code"]] = counts.get(state["code"], 0) + state["failed"]
        return counts
