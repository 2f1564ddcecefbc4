"""What failed, byte for byte: one Parquet file a batch, for whoever sends it back or looks for the cause.

It holds personal data and has the raw zone's rights. A message's row has its attributes as JSON and its body; a
record's row has the record's text as its body, and its place in the raw file.
"""

import pyarrow as pa
import pyarrow.parquet as pq

from service.quarantine.records import Block
from service.quarantine.rows import clean

COMPRESSION = "zstd"
"""Only our own commands read originals."""

SCHEMA = pa.schema(
    [
        ("error_id", pa.string()),
        ("message_id", pa.string()),
        ("sent_at", pa.timestamp("us", tz="UTC")),
        ("attributes", pa.string()),
        ("body", pa.large_binary()),
        ("raw_file", pa.string()),
        ("row_index", pa.int64()),
        ("record_index", pa.int64()),
    ]
)


class Originals:
    """The originals of one batch on their way into a file; at most a block of them is in memory uncompressed."""

    def __init__(self) -> None:
        self._sink = pa.BufferOutputStream()
        self._writer = pq.ParquetWriter(self._sink, SCHEMA, compression=COMPRESSION)
        self.rows = 0

    @property
    def size_bytes(self) -> int:
        """Of the file so far."""
        return int(self._sink.tell())

    def add(self, block: Block) -> None:
        """Take the bodies of the block; what has none is not here. Work for a thread."""
        kept = [number for number, body in enumerate(block.bodies) if body is not None]
        if not kept:
            return
        columns = [
            [block.error_ids[n] for n in kept],
            [clean(block.message_ids[n]) for n in kept],
            [block.sent_at[n] for n in kept],
            [block.attributes[n] for n in kept],
            [block.bodies[n] for n in kept],
            [block.failures[block.of[n]].raw_file for n in kept],
            [None if (place := block.places[n]) is None else place[0] for n in kept],
            [None if (place := block.places[n]) is None else place[1] for n in kept],
        ]
        arrays = [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=SCHEMA))
        self.rows += len(kept)

    def close(self) -> bytes:
        """The file's bytes."""
        self._writer.close()
        return bytes(self._sink.getvalue())
