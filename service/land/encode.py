"""A batch of messages as the bytes of a raw Parquet file: one row a message, its body exactly as it came.

The file can be turned back into the very messages: attributes stand as JSON with their types, binary ones in base64.
"""

import json
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from service.core.marks import origin_of
from service.core.model import Message

COMPRESSION = "zstd"
"""Only our own refine layer reads raw files; Redshift, which is surest of Snappy, never does."""

SCHEMA = pa.schema(
    [
        ("message_id", pa.string()),
        ("sent_at", pa.timestamp("us", tz="UTC")),
        ("received_at", pa.timestamp("us", tz="UTC")),
        ("receive_count", pa.int32()),
        ("queue", pa.string()),
        ("attributes", pa.string()),
        ("body", pa.large_string()),
    ]
)


def encode(messages: Sequence[Message], queue: str) -> bytes:
    """Parquet bytes of the messages in the order given. Work for a thread; raises nothing that a message can cause.

    A message that had been sent back stands there with its first id: a record of it is the same record.
    """
    columns = [
        [origin_of(m) for m in messages],
        [m.sent_at for m in messages],
        [m.received_at for m in messages],
        [m.receive_count for m in messages],
        [queue] * len(messages),
        [_attributes(m) for m in messages],
        [m.body for m in messages],
    ]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_arrays(arrays, schema=SCHEMA), sink, compression=COMPRESSION)
    return bytes(sink.getvalue())


def _attributes(message: Message) -> str | None:
    if not message.attributes:
        return None
    return json.dumps({name: value.as_json() for name, value in message.attributes.items()}, ensure_ascii=False)
