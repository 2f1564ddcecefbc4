"""What failed, row by row: a letter about records names their places, and their text lies in the raw file."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from service.core.dead_letter import Place, record_error_ids
from service.core.marks import origin_of
from service.core.model import Original
from service.quarantine.arrivals import Failure

PLACES_AT_A_TIME = 10_000
"""So many records are in memory at once, with their texts."""


@dataclass(frozen=True, slots=True)
class Landed:
    """What a raw file holds at a place. `text` is the record's; where its message cannot be opened, the whole body."""

    text: str
    message_id: str
    sent_at: datetime


RecordReader = Callable[[bytes, Sequence[Place]], Sequence[Landed | None]]
"""A raw file and places in it → what lies there, in their order; None where nothing does. Work for a thread.

Only for a message's first place does a body stand that cannot be opened, so that no body stands more than once. Raises
RejectedError where the file is none that land would write.
"""
Show = Callable[[Failure, str], str | None]
"""A failure and a record's text → its preview."""


@dataclass(slots=True)
class Block:
    """Rejected records beside each other, a list for each fact. `of` says which failure each of them belongs to."""

    failures: Sequence[Failure]
    of: list[int] = field(default_factory=list)
    error_ids: list[str] = field(default_factory=list)
    places: list[Place | None] = field(default_factory=list)
    message_ids: list[str | None] = field(default_factory=list)
    sent_at: list[datetime | None] = field(default_factory=list)
    attributes: list[str | None] = field(default_factory=list)
    bodies: list[bytes | None] = field(default_factory=list)
    previews: list[str | None] = field(default_factory=list)
    original_uris: list[str | None] = field(default_factory=list)
    """Where originals lie already; those with a body are stored now."""


def messages_block(failures: Sequence[Failure], known: set[str], show: Show) -> Block:
    """Messages that failed whole. What is `known` by its error id is left out; the others are known from now on."""
    block = Block(failures)
    for number, failure in enumerate(failures):
        if failure.error_id in known:
            continue
        known.add(failure.error_id)
        original = failure.original
        block.of.append(number)
        block.error_ids.append(failure.error_id)
        block.places.append(None)
        block.message_ids.append(None if original is None else origin_of(original))
        block.sent_at.append(None if original is None else original.sent_at)
        block.attributes.append(None if original is None else _attributes(original))
        block.bodies.append(None if original is None else _bytes(original.body))
        block.previews.append(None if original is None or failure.layer != "land" else show(failure, original.body))
        block.original_uris.append(failure.original_uri)
    return block


def record_blocks(
    failure: Failure, raw: bytes | None, known: set[str], read: RecordReader, show: Show
) -> Iterator[Block]:
    """Records of a raw file that failed alike, so many at a time; without their texts where the file is gone."""
    assert failure.raw_file is not None, "records lie in a raw file"
    facts = (failure.code, failure.field)
    for start in range(0, len(failure.places), PLACES_AT_A_TIME):
        places = failure.places[start : start + PLACES_AT_A_TIME]
        named = dict(zip(record_error_ids(failure.layer, failure.raw_file, places, *facts), places, strict=True))
        fresh = {error_id: place for error_id, place in named.items() if error_id not in known}
        known.update(fresh)
        if fresh:
            yield _block(failure, fresh, [None] * len(fresh) if raw is None else read(raw, [*fresh.values()]), show)


def _block(failure: Failure, fresh: dict[str, Place], landed: Sequence[Landed | None], show: Show) -> Block:
    return Block(
        failures=[failure],
        of=[0] * len(fresh),
        error_ids=[*fresh],
        places=[*fresh.values()],
        message_ids=[None if one is None else one.message_id for one in landed],
        sent_at=[None if one is None else one.sent_at for one in landed],
        attributes=[None] * len(fresh),
        bodies=[None if one is None else _bytes(one.text) for one in landed],
        previews=[None if one is None else show(failure, one.text) for one in landed],
        original_uris=[None] * len(fresh),
    )


def _bytes(text: str) -> bytes:
    """Any text at all, also with half of a surrogate pair."""
    return text.encode("utf-8", "surrogatepass")


def _attributes(original: Original) -> str | None:
    if not original.attributes:
        return None
    return json.dumps({name: value.as_json() for name, value in original.attributes.items()})
