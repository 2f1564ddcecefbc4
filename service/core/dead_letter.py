"""The dead letter: what was rejected, why, and all that is needed to send it back.

Two kinds. A *message* that failed whole carries its original, byte for byte. A *record* that refine rejected is not
copied: the letter names the raw file and the places in it, one letter for each (raw file, code, column).
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from service.core.errors import Code, RejectedError
from service.core.model import Attribute, Message, Outgoing

MARKER = "acequia_dead_letter"
"""The envelope's first field, by which refine knows a letter that somebody moved back to a records queue."""
VERSION = 1
PLACES_MAX = 10_000
"""Places named in one letter; at most some 160 kB of an SQS message's 1 MiB."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """`places` are (row of the raw file, index in that message); `original` is set for a message that failed whole."""

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
    places: Sequence[tuple[int, int]] = ()

    @property
    def error_id(self) -> str:
        """The same failure of the same thing has the same id, however often it is reported."""
        source = self.original.message_id if self.original is not None else self.raw_file
        facts = [self.layer, source, list(self.places[:1]), self.code, self.column, self.definition]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]

    def outgoing(self, pointer: str | None = None) -> Outgoing:
        """The message for the dead-letter queue; with a `pointer`, the original lies there instead of inside.

        Its `dataset` attribute lets a console's redrive find the way back.
        """
        moment = self.failed_at.isoformat()
        envelope: dict[str, Any] = {
            MARKER: VERSION,
            "error_id": self.error_id,
            "layer": self.layer,
            "dataset": self.dataset,
            "code": self.code,
            "sentence": self.sentence,
            "column": self.column,
            "definition": self.definition,
            "first_failed_at": moment,
            "last_failed_at": moment,
            "attempts": self.attempts,
        }
        if self.original is not None:
            envelope["original"] = original_json(self.original) if pointer is None else {"uri": pointer}
        else:
            envelope["raw_file"] = self.raw_file
            envelope["places"] = [list(place) for place in self.places]
        attributes = {"dataset": Attribute("String", self.dataset)} if self.dataset else {}
        return Outgoing(json.dumps(envelope, separators=(",", ":"), ensure_ascii=False), attributes)


def rejected_message(layer: str, dataset: str, message: Message, wrong: RejectedError, now: datetime) -> DeadLetter:
    """The letter for a message that failed whole."""
    return DeadLetter(
        layer=layer,
        dataset=dataset,
        code=wrong.code,
        sentence=wrong.sentence,
        column=wrong.column,
        failed_at=now,
        attempts=message.receive_count,
        original=message,
    )


def original_json(message: Message) -> Mapping[str, Any]:
    """A message as an envelope holds it: all that sending it back needs."""
    return {
        "message_id": message.message_id,
        "sent_at": message.sent_at.isoformat(),
        "attributes": {name: value.as_json() for name, value in message.attributes.items()},
        "body": message.body,
    }
