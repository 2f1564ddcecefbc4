"""The dead letter: what was rejected, why, and all that is needed to send it back.

Two kinds. A *message* that failed whole carries its original, byte for byte. A *record* that refine rejected is not
copied: the letter names the raw file and the places in it, one letter for each (raw file, code, column).
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from service.core.errors import CODES, Code, RejectedError
from service.core.marks import Mark, origin_of
from service.core.model import DATASET_ATTRIBUTE, Attribute, Message, Original, Outgoing
from service.core.moments import first_of

MARKER = "acequia_dead_letter"
"""The envelope's first field, by which refine knows a letter that somebody moved back to a records queue."""
VERSION = 1
LETTER_BYTES_MAX = 900 * 1024
"""Below SQS's 1 MiB for one message, with room for attributes. An envelope's JSON escapes can double a body."""
PLACES_MAX = 10_000
"""Places named in one letter; at most some 160 kB of an SQS message's 1 MiB."""
ERROR_ID_DIGITS = 32
_NO_DEFINITION = ""
"""Error ids of older versions told which definition had judged; those of messages, which have none, stay the same."""
_NUMBER_MAX = 2**31 - 1

Place = tuple[int, int]
"""Row of the raw file, index in that message."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """`places` are (row of the raw file, index in that message); `original` is set for a message that failed whole.

    `attempts` are tries across rounds of reprocessing, `round_id` is the round that this try belongs to, and
    `first_failed_at` is when the first of them failed, where that is known and this is not the first.
    """

    layer: str
    dataset: str
    code: Code
    sentence: str
    column: str | None
    failed_at: datetime
    attempts: int = 1
    definition: str = ""
    original: Message | None = None
    raw_file: str | None = None
    places: Sequence[Place] = ()
    round_id: str = ""
    first_failed_at: datetime | None = None

    @property
    def error_id(self) -> str:
        """The same failure of the same thing has the same id, however often it is told, whichever definition judged."""
        source = origin_of(self.original) if self.original is not None else self.raw_file
        first = self.places[0] if self.places else None
        return record_error_id(self.layer, source, first, self.code, self.column)

    def outgoing(self, pointer: str | None = None) -> Outgoing:
        """The message for the dead-letter queue; with a `pointer`, the original lies there instead of inside.

        Its `dataset` attribute lets a console's redrive find the way back.
        """
        envelope: dict[str, Any] = {
            MARKER: VERSION,
            "error_id": self.error_id,
            "layer": self.layer,
            "dataset": self.dataset,
            "code": self.code,
            "sentence": self.sentence,
            "column": self.column,
            "definition": self.definition,
            "first_failed_at": first_of(self.first_failed_at, self.failed_at).isoformat(),
            "last_failed_at": self.failed_at.isoformat(),
            "attempts": self.attempts,
            "round_id": self.round_id,
        }
        if self.original is not None:
            envelope["original"] = {"uri": pointer} if pointer is not None else Original.of(self.original).as_json()
        else:
            envelope["raw_file"] = self.raw_file
            envelope["places"] = [list(place) for place in self.places]
        attributes = {DATASET_ATTRIBUTE: Attribute("String", self.dataset)} if self.dataset else {}
        return Outgoing(json.dumps(envelope, separators=(",", ":"), ensure_ascii=False), attributes)


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter as it is read from its queue. Of `raw_file`, `original` and `original_uri` one is set."""

    error_id: str
    layer: str
    dataset: str
    code: Code
    sentence: str
    column: str | None
    definition: str
    first_failed_at: datetime
    last_failed_at: datetime
    attempts: int
    round_id: str
    raw_file: str | None
    places: Sequence[Place]
    original: Original | None
    original_uri: str | None


def rejected_message(layer: str, dataset: str, message: Message, wrong: RejectedError, now: datetime) -> DeadLetter:
    """The letter for a message that failed whole; one that had been sent back has failed once more."""
    mark = Mark.of(message)
    return DeadLetter(
        layer=layer,
        dataset=dataset,
        code=wrong.code,
        sentence=wrong.sentence,
        column=wrong.column,
        failed_at=now,
        attempts=1 if mark is None else mark.attempt + 1,
        original=message,
        round_id="" if mark is None else mark.round_id,
        first_failed_at=None if mark is None else mark.first_failed_at,
    )


def record_error_id(layer: str, source: str | None, place: Place | None, code: str, column: str | None) -> str:
    """The id of one failure: of a record by its raw file and place, of a message by its first id."""
    facts = [layer, source, [] if place is None else [list(place)], code, column, _NO_DEFINITION]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:ERROR_ID_DIGITS]


def record_error_ids(layer: str, source: str, places: Iterable[Place], code: str, column: str | None) -> list[str]:
    """The same for many records of one file that failed alike, in a fraction of the time."""
    before = hashlib.sha256(f"{json.dumps([layer, source])[:-1]}, [[".encode())
    after = f"]], {json.dumps([code, column, _NO_DEFINITION])[1:]}"
    found = []
    for row, index in places:
        digest = before.copy()
        digest.update(f"{row}, {index}{after}".encode())
        found.append(digest.hexdigest()[:ERROR_ID_DIGITS])
    return found


def read_letter(body: str) -> Letter | None:
    """The letter that `DeadLetter.outgoing` wrote as this body; None for anything else. Never raises."""
    if MARKER not in body:
        return None
    try:
        return _letter(json.loads(body))
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def read_original(stored: bytes) -> Original:
    """What lies where a letter points; raises ValueError, TypeError or KeyError where that is no original of ours."""
    return Original.from_json(json.loads(stored.decode("utf-8", "surrogatepass")))


def _letter(given: Any) -> Letter:
    if type(given[MARKER]) is not int or given[MARKER] != VERSION or given["code"] not in CODES:
        raise ValueError("not of our making")
    original, uri, raw_file = given.get("original"), None, None
    if original is None:
        raw_file = _text(given["raw_file"])
    elif "uri" in original:
        uri = _text(original["uri"])
    return Letter(
        error_id=_text(given["error_id"]),
        layer=_text(given["layer"]),
        dataset=_text(given["dataset"]),
        code=given["code"],
        sentence=_text(given["sentence"]),
        column=None if given["column"] is None else _text(given["column"]),
        definition=_text(given["definition"]),
        first_failed_at=_moment(given["first_failed_at"]),
        last_failed_at=_moment(given["last_failed_at"]),
        attempts=_number(given["attempts"]),
        round_id=_text(given.get("round_id", "")),  # letters of older versions have none
        raw_file=raw_file,
        places=[] if raw_file is None else [_place(place) for place in given["places"]],
        original=None if original is None or uri is not None else Original.from_json(original),
        original_uri=uri,
    )


def _text(given: Any) -> str:
    """Text that files and tables take: no half of a surrogate pair."""
    if not isinstance(given, str):
        raise TypeError
    given.encode()
    return given


def _number(given: Any) -> int:
    if type(given) is not int or not 0 <= given <= _NUMBER_MAX:
        raise ValueError("no number of ours")
    return given


def _place(given: Any) -> Place:
    row, index = given
    return _number(row), _number(index)


def _moment(given: Any) -> datetime:
    moment = datetime.fromisoformat(given)
    if moment.tzinfo is None:
        raise ValueError("a moment without its zone")
    return moment
