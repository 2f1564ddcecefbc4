"""An error storm as it lies in the stores: raw files half of whose records are bad, and refine's letters about them.

The letters are refine's own: each file is judged as refine would judge it. What a storm leaves is made once and stored
many times, under other addresses, so that every storm is another 100,000 failures of the same three kinds.
"""

import base64
import itertools
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from service.aws.s3 import S3Store
from service.core.dead_letter import PLACES_MAX, DeadLetter
from service.core.definitions import load_datasets
from service.core.model import Message, Outgoing
from service.core.zones import Zone, raw_key
from service.land.encode import encode
from service.local.feed import messages
from service.local.provision import LocalAws
from service.local.samples.loans import loan_events
from service.refine.compile import compile_dataset
from service.refine.execute import Keys, Rejection, judge
from service.settings import PROJECT

DATASET = "loan_events"
RECORDS_PER_MESSAGE = 50
FINGERPRINTS = 3
LONG_CHARS = 5_000
"""Of what is too long for its column: more than a preview shows."""
KINDS = 5
"""Files that differ; a storm repeats them."""
KEYS = Keys(b"k" * 32, b"m" * 32)
MEMORY_BYTES = 1024**3


@dataclass(frozen=True, slots=True)
class Shape:
    """How many records of a file are rejected (half of all: more would make the dataset pause), and how long they are.

    `note_bytes` stand in a field of theirs that no column maps, and compression hardly makes them fewer.
    """

    file_rejected: int
    note_bytes: int


USUAL, LONG = Shape(5_000, 0), Shape(1_500, 20_000)
"""Loan events of some 300 bytes, a fifth of the rejected ones 5 kB; and 20 kB each, in half of land's largest file."""


@dataclass(frozen=True, slots=True)
class StormFile:
    """A raw file, and what refine rejects of it."""

    body: bytes
    rejections: Sequence[Rejection]


class Storms:
    """Stores storms. Each is another one, whatever was stored before."""

    def __init__(self, aws: LocalAws, raw_zone: str) -> None:
        self._store = S3Store(aws.s3)
        self._raw = Zone.parse("raw", raw_zone)
        self._definition = load_datasets(PROJECT / "datasets")[DATASET].definition
        self._numbers = itertools.count(1)
        self._files: dict[Shape, list[StormFile]] = {}

    async def store(self, rejected: int, shape: Shape) -> list[Outgoing]:
        """Raw files with that many bad records, in whole files; returns the letters, which nobody has sent yet.

        A file has a letter for each of the three kinds.
        """
        assert rejected % shape.file_rejected == 0, "whole files"
        if shape not in self._files:
            self._files[shape] = list(_files(shape))
        files = itertools.islice(itertools.cycle(self._files[shape]), rejected // shape.file_rejected)
        return [letter for file in files for letter in await self._stored(file)]

    async def _stored(self, file: StormFile) -> list[Outgoing]:
        now = datetime.now(UTC)
        batch_id = f"{now:%Y%m%dT%H%M%S}000Z-{next(self._numbers):016x}"
        uri = self._raw.uri(raw_key(DATASET, now, batch_id))
        await self._store.put_new(uri, file.body)
        return [self._letter(one, uri, now) for one in file.rejections]

    def _letter(self, rejection: Rejection, uri: str, now: datetime) -> Outgoing:
        assert len(rejection.places) <= PLACES_MAX, "one letter names them all"
        fault = rejection.fault
        return DeadLetter(
            layer="refine",
            dataset=DATASET,
            code=fault.code,
            sentence=fault.sentence,
            column=fault.column,
            failed_at=now,
            definition=self._definition,
            raw_file=uri,
            places=rejection.places,
        ).outgoing()


def _files(shape: Shape) -> Iterator[StormFile]:
    program = compile_dataset(load_datasets(PROJECT / "datasets")[DATASET])
    records = 2 * shape.file_rejected
    events, _ = loan_events(applications=KINDS * records // 20, events=KINDS * records)
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    for _ in range(KINDS):
        some = enumerate(itertools.islice(events, records))
        lines = (_spoilt(event, number, shape.note_bytes).encode() for number, event in some)
        sent = messages(lines, dataset=DATASET, records_per_message=RECORDS_PER_MESSAGE)
        held = [Message(f"m{n}", one.body, one.attributes, moment, moment, 1, "") for n, (one, _) in enumerate(sent)]
        body = encode(held, "bench")
        judged = judge(body, "s3://bench/bench", program, KEYS, MEMORY_BYTES)
        rejected = sum(len(one.places) for one in judged.rejections)
        assert (rejected, len(judged.rejections)) == (shape.file_rejected, FINGERPRINTS), "the definition has changed"
        yield StormFile(body, judged.rejections)


def _spoilt(text: str, number: int, note_bytes: int) -> str:
    """Every second record, in one of three ways."""
    if number % 2 == 0:
        return text
    event = json.loads(text)
    if note_bytes:
        event["note"] = base64.b64encode(os.urandom(note_bytes * 3 // 4)).decode()
    match number % 20:
        case 1 | 5 | 9 | 13 | 17:
            event["timestamp"] = "yesterday"
        case 3 | 7 | 11:
            del event["application_id"]
        case 15 | 19:
            event["transition"] = "COMPLETED " * (LONG_CHARS // 10)
    return json.dumps(event)
