"""What a task is given to do: messages for land, raw files for refine, refined files for load.

All of it is made and stored before a clock starts. The events are those of the generated loan log, moved to two days:
what a service logs now happened today or yesterday, and each day of a raw file is a refined file of its own.
"""

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from service.aws.s3 import S3Store
from service.aws.sqs import queue_url
from service.core.definitions import load_datasets
from service.core.model import Message, Outgoing
from service.core.notice import File, FileNotice
from service.core.zones import Zone, raw_key, refined_key
from service.land.encode import SCHEMA, encode
from service.local.feed import messages
from service.local.provision import LocalAws
from service.local.samples.loans import loan_events
from service.refine.compile import compile_dataset
from service.refine.execute import Keys, judge
from service.refine.write import parts
from service.settings import PROJECT

DATASET = "loan_events"
EVENTS_AN_APPLICATION = 20
KEYS = Keys(b"k" * 32, b"m" * 32)
MEMORY_BYTES = 1024**3
_DAY = re.compile(r'(?<="timestamp":")\d{4}-\d\d-\d\d')
_SENDERS = 10
"""Messages a call."""


@dataclass(frozen=True, slots=True)
class Bodies:
    """How many messages, of how many events each."""

    messages: int
    events_a_message: int


class Given:
    """Makes input and stores it. Each raw or refined file is another one, with the same content."""

    def __init__(self, aws: LocalAws) -> None:
        self._aws = aws
        self._store = S3Store(aws.s3)
        self._numbers = itertools.count(1)
        self._raw = Zone("raw", "acequia-raw", "")
        self._refined = Zone("refined", "acequia-refined", "")
        self._made: dict[Bodies, list[Outgoing]] = {}
        self._files: dict[Bodies, bytes] = {}

    async def send(self, queue_name: str, some: Sequence[Outgoing]) -> None:
        """To a queue, in order."""
        queue = await self._aws.queue(queue_name)
        for number in range(0, len(some), _SENDERS):
            await queue.send(some[number : number + _SENDERS])

    async def left(self, queue_name: str) -> int:
        """Messages that wait there or are in somebody's hands."""
        depth = await (await self._aws.queue(queue_name)).depth()
        return depth.waiting + depth.in_flight

    async def empty(self, queue_name: str) -> None:
        """Throw away what is in a queue."""
        await self._aws.sqs.purge_queue(QueueUrl=await queue_url(self._aws.sqs, queue_name))

    def messages(self, bodies: Bodies) -> list[Outgoing]:
        """For the records queue."""
        if bodies not in self._made:
            self._made[bodies] = [one for _, one in made_messages(bodies)]
        return self._made[bodies]

    async def raw_files(self, bodies: Bodies, files: int) -> list[Outgoing]:
        """So many, each of these messages: their notices, which nobody has sent yet."""
        if bodies not in self._files:
            moment = datetime.now(UTC)
            held = [
                Message(f"m{number}", one.body, one.attributes, moment, moment, 1, "")
                for number, one in enumerate(self.messages(bodies))
            ]
            self._files[bodies] = encode(held, "bench")
        return [await self._raw_file(self._files[bodies], bodies.messages) for _ in range(files)]

    async def refined_files(self, bodies: Bodies, files: int) -> list[Outgoing]:
        """At least so many, as refine makes them of such a raw file: their notices, which nobody has sent yet."""
        program = compile_dataset(load_datasets(PROJECT / "datasets")[DATASET])
        [origin] = await self.raw_files(bodies, 1)
        uri = FileNotice.from_json(origin.body).files[0].uri
        judged = judge(self._files[bodies], uri, program, KEYS, MEMORY_BYTES)
        made = list(parts(judged.good, program.dataset.event_time))
        notices: list[Outgoing] = []
        while len(notices) < files:
            batch_id, moment = self._batch_id(), datetime.now(UTC)
            for part in made:
                key = refined_key(DATASET, part.partition, batch_id, program.dataset.definition)
                stored = await self._store.put_new(self._refined.uri(key), part.body)
                file = File(stored.uri, stored.etag, stored.content_length_bytes, part.rows, part.event_time_min)
                columns, definition = program.dataset.stored_columns, program.dataset.definition
                notice = FileNotice(DATASET, "refined", [file], columns, batch_id, definition, moment)
                notices.append(Outgoing(notice.to_json()))
        return notices

    async def _raw_file(self, body: bytes, rows: int) -> Outgoing:
        moment, batch_id = datetime.now(UTC), self._batch_id()
        stored = await self._store.put_new(self._raw.uri(raw_key(DATASET, moment, batch_id)), body)
        file = File(stored.uri, stored.etag, stored.content_length_bytes, rows)
        columns = [(field.name, str(field.type)) for field in SCHEMA]
        return Outgoing(FileNotice(DATASET, "raw", [file], columns, batch_id, "", moment).to_json())

    def _batch_id(self) -> str:
        return f"{datetime.now(UTC):%Y%m%dT%H%M%S}000Z-{next(self._numbers):016x}"


def made_messages(bodies: Bodies) -> Iterator[tuple[int, Outgoing]]:
    """For the records queue, numbered from 0."""
    events = bodies.messages * bodies.events_a_message
    texts, _ = loan_events(applications=max(1, events // EVENTS_AN_APPLICATION), events=events)
    lines = (_moved(text, number * 2 // events).encode() for number, text in enumerate(texts))
    sent = messages(lines, dataset=DATASET, records_per_message=bodies.events_a_message)
    return enumerate(one for one, _ in sent)


def _moved(text: str, day: int) -> str:
    """To the first or the second of two days."""
    return _DAY.sub(f"2026-01-{14 + day}", text, count=1)
