"""Messages of a day, told apart by 64 bits of their ids: a message that was delivered twice lies in two raw files.

12 bytes a message stay in memory for the day.
"""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from service.upkeep.tools import Count

SCHEMA = pa.schema([("message", pa.uint64()), ("records", pa.int32())])


@dataclass(frozen=True, slots=True)
class Counted:
    """A raw file's messages and records; `rows` has each message's hash and number of records."""

    messages: int
    records: int
    rows: pa.Table


def counted(body: bytes, count: Count) -> Counted:
    """Open a raw file and count. Work for a thread; RejectedError where it cannot be opened."""
    held = count(body)
    hashes = [int.from_bytes(hashlib.blake2b(one.encode(), digest_size=8).digest()) for one in held.message_ids]
    rows = pa.table([pa.array(hashes, pa.uint64()), pa.array(held.records, pa.int32())], schema=SCHEMA)
    return Counted(len(hashes), sum(held.records), rows)


@dataclass(slots=True)
class Messages:
    """What landed on one day, file by file."""

    files: dict[str, pa.Table] = field(default_factory=dict)

    def add(self, uri: str, one: Counted) -> None:
        """Take a file."""
        self.files[uri] = one.rows

    def distinct(self) -> tuple[int, int]:
        """Messages and records, each once however often it was delivered that day. Work for a thread."""
        if not self.files:
            return 0, 0
        by_message = pa.concat_tables(self.files.values()).group_by("message").aggregate([("records", "max")])
        return by_message.num_rows, int(pc.sum(by_message.column("records_max")).as_py() or 0)

    def elsewhere(self, uris: Sequence[str], others: Collection[str]) -> set[str]:
        """Those of the files whose every message lies in one of the others too. Work for a thread."""
        known = [table.column("message") for uri, table in self.files.items() if uri in others]
        if not known:
            return set()
        there = pa.chunked_array([chunk for column in known for chunk in column.chunks], pa.uint64())
        return {
            uri
            for uri in uris
            if uri in self.files and pc.all(pc.is_in(self.files[uri].column("message"), value_set=there)).as_py()
        }
