"""The mark on a message that we send back: what it was at first, and how often it has been tried.

A message that is sent again has another id. Its mark keeps the first one, so that a record whose identity is its
message's stays the same record, and a second failure is known as the second of the same thing.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Protocol

from service.core.model import Attribute
from service.core.moments import failing_moment

MARK_ATTRIBUTE = "acequia_mark"
VERSION = 1
_TEXT_MAX = 1_024
"""Characters of the attribute; ours has at most some 450."""
_ATTEMPT_MAX = 2**31 - 2
"""One more still fits into the tables' column."""
_ERROR_ID = re.compile(r"[!-~]{1,64}")
_ORIGIN = re.compile(r"[!-~]{1,128}")
ROUND_ID = re.compile(r"[!-~]{0,64}")
"""Plain ASCII of the tables' widths: so no mark holds what a file or a table would refuse."""


class Marked(Protocol):
    """A message, or what a dead letter kept of it."""

    @property
    def message_id(self) -> str:
        """As the queue gave it."""
        ...

    @property
    def attributes(self) -> Mapping[str, Attribute]:
        """By name."""
        ...


@dataclass(frozen=True, slots=True)
class Mark:
    """`error_id` of the failure, `origin` is the message's first id, `attempt` how often it was tried before.

    `first_failed_at` is when it failed first, UTC; None in marks of older versions.
    """

    error_id: str
    origin: str
    attempt: int
    round_id: str
    first_failed_at: datetime | None = None

    @classmethod
    def of(cls, message: Marked) -> "Mark | None":
        """The message's mark; None where it has none, or one that we did not write. Never raises."""
        given = message.attributes.get(MARK_ATTRIBUTE)
        if given is None or not isinstance(given.value, str) or len(given.value) > _TEXT_MAX:
            return None
        try:
            return _mark(json.loads(given.value))
        except (ValueError, TypeError, KeyError, RecursionError):
            return None

    def attribute(self) -> Attribute:
        """What `of` reads."""
        return Attribute("String", json.dumps(_told(self), separators=(",", ":")))


def origin_of(message: Marked) -> str:
    """The id that the message had when it came first."""
    if MARK_ATTRIBUTE not in message.attributes:
        return message.message_id
    mark = Mark.of(message)
    return message.message_id if mark is None else mark.origin


@dataclass(frozen=True, slots=True)
class LandedMarks:
    """Which messages that had been sent back a raw file holds."""

    raw_file: str
    marks: Sequence[Mark]

    def to_json(self) -> bytes:
        """What is stored: the same for the same batch."""
        given = {"v": VERSION, "raw_file": self.raw_file, "marks": [_told(mark) for mark in self.marks]}
        return json.dumps(given, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, stored: bytes) -> "LandedMarks":
        """The reverse; raises ValueError, TypeError or KeyError on anything else."""
        given = json.loads(stored)
        if given["v"] != VERSION or not isinstance(given["raw_file"], str):
            raise ValueError("no marks of ours")
        return cls(given["raw_file"], [_mark(one) for one in given["marks"]])


def _mark(given: Any) -> Mark:
    attempt = given["attempt"]
    if type(attempt) is not int or not 0 <= attempt <= _ATTEMPT_MAX:
        raise ValueError("attempt")
    shapes = (("error_id", _ERROR_ID), ("origin", _ORIGIN), ("round_id", ROUND_ID))
    error_id, origin, round_id = (_shaped(given[name], shape) for name, shape in shapes)
    return Mark(error_id, origin, attempt, round_id, failing_moment(given.get("first_failed_at")))


def _told(mark: Mark) -> dict[str, object]:
    """The mark as JSON has it."""
    told = asdict(mark)
    first = told.pop("first_failed_at")
    return told if first is None else {**told, "first_failed_at": first.isoformat()}


def _shaped(given: Any, shape: re.Pattern[str]) -> str:
    if not isinstance(given, str) or shape.fullmatch(given) is None:
        raise ValueError("not of our making")
    return given
