"""Error rows and what was sent back, read from the stores: what people's promises are checked against."""

import base64
import binascii
import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from service.core.dead_letter import MARKER, read_letter, record_error_ids
from service.core.errors import RejectedError
from service.core.marks import MARK_ATTRIBUTE
from service.core.model import Outgoing
from service.core.notice import WHOLE_MESSAGE, FileNotice
from tests.simulation.facts import Facts
from tests.simulation.people_notes import first_of, mark_in
from tests.simulation.producers import BAD, Sent

Row = dict[str, Any]
Thing = tuple[Any, ...]
"""A record by its raw file and place, or a message by its layer and first id."""
ERROR_FILES = "s3://errors/errors/dt="
LAYER_OF = {"records": "land", "refine": "refine", "load": "load"}
PASSES_LATER = BAD[3]
"""What the mended definitions take."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """One message that was sent back: in which round, as which try, and what it is about."""

    round_id: str
    attempt: int
    things: Sequence[Thing]

    def holds(self, thing: Thing) -> bool:
        """Whether that went with it, maybe as a part of a whole message."""
        return thing in self.things or (*thing[:2], WHOLE_MESSAGE) in self.things


def thing_of(row: Row) -> Thing:
    """What an error row is about."""
    if row["row_index"] is not None:
        return row["raw_file"], row["row_index"], row["record_index"]
    return row["layer"], row["message_id"]


def parcel_of(queue: str, outgoing: Outgoing) -> Parcel | None:
    """What a message on that queue sends back; None for all others."""
    if MARK_ATTRIBUTE in outgoing.attributes:
        mark = mark_in(outgoing)
        return Parcel(mark.round_id, mark.attempt, [(LAYER_OF[queue], mark.origin)])
    if queue != "refine":
        return None
    try:
        notice = FileNotice.from_json(outgoing.body)
    except RejectedError:
        return None
    things = [(notice.files[0].uri, *place) for place in notice.rows]
    return Parcel(notice.round_id, notice.attempt, things) if notice.rows else None


def error_ids_of(body: str) -> list[str]:
    """Which errors a dead letter is about; none where it is no letter of ours."""
    letter = read_letter(body)
    if letter is None:
        return []
    if letter.raw_file is None:
        return [letter.error_id]
    return record_error_ids(letter.layer, letter.raw_file, letter.places, letter.code, letter.column)


def texts(sent: Sent) -> list[str]:
    """The records of a message as they were written; a bad one stands in a body of lines only."""
    body = sent.outgoing.body
    while MARKER in body:
        body = json.loads(body)["original"]["body"]
    if body.startswith('{"Type"'):
        body = json.loads(body)["Message"]
    with suppress(binascii.Error, ValueError, OSError):
        body = gzip.decompress(base64.b64decode(body, validate=True)).decode()
    return body.split("\n") if len(sent.records) > 1 and not body.startswith("[") else [body] * len(sent.records)


@dataclass
class ErrorRows:
    """All error rows of a run."""

    facts: Facts

    def of(self, uri: str) -> list[Row]:
        """Those of a file."""
        return self.facts.rows(uri)

    @cached_property
    def latest(self) -> dict[str, Row]:
        """Of each failure the row that counts."""
        rows = [row for uri in self.facts.run.objects if uri.startswith(ERROR_FILES) for row in self.of(uri)]
        ordered = sorted(rows, key=lambda row: (row["updated_at"], row["state"] == "open"))
        return {row["error_id"]: row for row in ordered}

    @cached_property
    def things(self) -> Mapping[Thing, list[Row]]:
        """The same, by what they are about."""
        found: dict[Thing, list[Row]] = {}
        for row in self.latest.values():
            found.setdefault(thing_of(row), []).append(row)
        return found

    def passes(self, thing: Thing) -> bool | None:
        """Whether the layers take it now; None where nobody but they can tell."""
        if len(thing) == 2:
            return True if thing[0] == "land" else None
        raw_file, row, index = thing
        sent = dict(self.facts.truth(raw_file))[row]
        return index < len(sent.records) and (sent.records[index] is not None or texts(sent)[index] == PASSES_LATER)

    def wanted(self, thing: Thing) -> Iterator[tuple[str, str]]:
        """What must be in the warehouse when it is resolved: datasets and ids of events."""
        run = self.facts.run
        if len(thing) == 2 and thing[0] == "land":
            sent = first_of(run, thing[1])
            yield from (("events", key[0]) for key in sent.records if key is not None)
        elif len(thing) == 3:
            raw_file, row, index = thing
            dataset = raw_file.removeprefix("s3://raw/").partition("/")[0]
            sent = dict(self.facts.truth(raw_file))[row]
            key = sent.records[index] if index < len(sent.records) else None
            yield dataset, "b" if key is None else key[0]
