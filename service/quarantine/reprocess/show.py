"""What people look at: a few failures of one kind, as far as analysts may see them. No original is read."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from service.core.ports import Means
from service.quarantine.reprocess.table import Example


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a masked preview as JSON; `failed` marks the one that is to blame."""

    name: str
    value: str
    failed: bool


@dataclass(frozen=True, slots=True)
class Shown:
    """An example; without fields where its body could not be opened, or has no definition."""

    example: Example
    fields: Sequence[Field]


def printable(text: str) -> str:
    """The text, with everything but line ends escaped, as in JSON, that a terminal may obey or not show."""
    return "".join(char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text)


async def shown(examples: Sequence[Example], means: Means) -> list[Shown]:
    """Each with what its error row shows of it."""
    found = []
    for example in examples:
        read = await means.store.read(example.file)
        preview = None if read is None else await means.threads.run(_preview, read[0], example.error_id)
        found.append(Shown(example, _fields(preview, example.field)))
    return found


def _preview(body: bytes, error_id: str) -> str | None:
    try:
        rows = pq.read_table(pa.BufferReader(body), columns=["error_id", "preview"])
    except (pa.ArrowException, OSError):
        return None
    mine = rows.filter(pc.equal(rows.column("error_id"), error_id)).column("preview").to_pylist()
    return mine[0] if mine else None


def _fields(preview: str | None, failed: str | None) -> list[Field]:
    """In the preview's order; a field that failed because it is missing comes first, as null."""
    try:
        given = json.loads(preview or "{}", parse_float=str, parse_int=str)
        if preview is not None and failed is not None and failed not in given:
            given = {failed: None, **given}
        return [
            Field(printable(name), printable(json.dumps(value, ensure_ascii=False)), name == failed)
            for name, value in given.items()
        ]
    except (ValueError, RecursionError):
        return []
