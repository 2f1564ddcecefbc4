"""What lies in the stores when all is over: objects, the ledger, the table, dead letters. Read past the proxy."""

import hashlib
import io
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from service.aws.sqs import queue_url
from service.core.zones import batch_of, split_uri
from tests.faults.calls import content
from tests.faults.line import LAYERS, Line


@dataclass(frozen=True)
class Stored:
    """One object; `table` where it is Parquet that opens, `etag` what S3 gives a body of one piece."""

    uri: str
    body: bytes

    @property
    def etag(self) -> str:
        return hashlib.md5(self.body).hexdigest()

    @property
    def table(self) -> pa.Table:
        """Raises ArrowInvalid where it is torn."""
        return pq.read_table(io.BytesIO(self.body))


@dataclass(frozen=True)
class Ledger:
    """One row of the ledger."""

    uri: str
    etag: str
    row_count: int
    inserted: int
    duplicate: int
    replaced: int


@dataclass(frozen=True)
class Letter:
    """One dead letter: what the history tells of it, and its whole text."""

    queue: str
    facts: Mapping[str, Any]
    body: str


@dataclass(frozen=True)
class Stores:
    """A picture of everything that is durable."""

    raw: Mapping[str, Stored]
    refined: Mapping[str, Stored]
    manifests: Mapping[str, Stored]
    originals: Mapping[str, Stored]
    ledger: Mapping[str, Ledger]
    ledger_rows: int
    events: Counter[str]
    record_ids: Counter[str]
    letters: list[Letter]

    def landed(self, uri: str) -> set[str]:
        """The ids of the messages in a raw object."""
        return set(self.raw[uri].table.column("message_id").to_pylist())

    def refined_of(self, raw_uri: str) -> list[Stored]:
        """The refined files that were made of a raw one."""
        return [one for uri, one in self.refined.items() if batch_of(uri) == batch_of(raw_uri)]

    def letters_by_code(self) -> Counter[str]:
        """How many failures have dead letters, whatever the number of letters: a failure told twice has one id."""
        return Counter({one.facts["letter"]: one.facts["code"] for one in self.letters}.values())

    def rejected_bodies(self) -> dict[str, str]:
        """The code of each message body that has a letter which names its place in a raw file."""
        found: dict[str, str] = {}
        for letter in self.letters:
            raw_file = letter.facts.get("raw_file")
            if raw_file:
                bodies = self.raw[raw_file].table.column("body").to_pylist()
                found |= {bodies[row]: letter.facts["code"] for row, _ in json.loads(letter.body)["places"]}
        return found

    def about(self, letter: Mapping[str, Any]) -> str | None:
        """The message that a letter is about, also where its original lies in the errors zone."""
        if letter.get("pointer"):
            return str(json.loads(self.originals[letter["pointer"]].body)["message_id"])
        return letter.get("about")


async def read_stores(line: Line) -> Stores:
    """Look at everything."""
    raw, refined, errors = [await objects_in(line, zone) for zone in ("raw", "refined", "errors")]
    ledger = [
        Ledger(*row)
        for row in await line.ask("SELECT uri, etag, row_count, inserted, duplicate, replaced FROM {ledger}")
    ]
    rows = await line.ask("SELECT event_id, _record_id FROM {table}")
    return Stores(
        raw={uri: one for uri, one in raw.items() if uri.endswith(".parquet")},
        refined={uri: one for uri, one in refined.items() if uri.endswith(".parquet") and f"/{line.dataset}/" in uri},
        manifests={uri: one for uri, one in refined.items() if uri.endswith(".manifest")},
        originals=errors,
        ledger={row.uri: row for row in ledger},
        ledger_rows=len(ledger),
        events=Counter(row[0] for row in rows),
        record_ids=Counter(row[1] for row in rows),
        letters=[one for layer in LAYERS for one in await letters_on(line, f"{layer}-dlq")],
    )


async def objects_in(line: Line, zone: str) -> dict[str, Stored]:
    """All that lies in one of the line's zones."""
    bucket, prefix = split_uri(line.zone(zone))
    s3, found = line.services.aws.s3, {}
    async for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/"):
        for entry in page.get("Contents", []):
            answer = await s3.get_object(Bucket=bucket, Key=entry["Key"])
            async with answer["Body"] as body:
                uri = f"s3://{bucket}/{entry['Key']}"
                found[uri] = Stored(uri, await body.read())
    return found


async def letters_on(line: Line, queue: str) -> list[Letter]:
    """All of a queue; they stay there, invisible for a while."""
    sqs, found = line.services.aws.sqs, []
    url = await queue_url(sqs, line.queue(queue))
    while given := (
        await sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=600, WaitTimeSeconds=0)
    ).get("Messages"):
        found += [Letter(queue, content(one["Body"]), one["Body"]) for one in given]
    return found
