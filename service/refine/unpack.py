"""What wraps a message's body: gzip in base64, SNS, EventBridge, our own dead-letter envelope. None makes small bodies
large work: members and pieces are taken one after the other, within a limit that the body's own size sets.
"""

import base64
import binascii
import zlib
from dataclasses import dataclass
from typing import Literal, TypeVar

import msgspec

from service.core.dead_letter import MARKER
from service.core.errors import Code

EXPANDED_BYTES_MAX = 24 * 1024 * 1024
"""What one compressed body may become: 24 times the largest SQS message."""
EXPANDED_BYTES_FREE = 1024 * 1024
"""What any body may become: a message that is not compressed may hold as much."""
EXPANDED_RATIO_MAX = 100
"""Above that, a body may become so many times itself. Records compress to a tenth, bombs to a thousandth."""
PIECE_BYTES = 4_096
"""How much zlib is given at a time: it copies what it leaves over, and a member may be 20 bytes."""
WRAPPER_MARKS = ('"TopicArn"', '"detail-type"', f'"{MARKER}"')

T = TypeVar("T")


class _Notification(msgspec.Struct):
    type: Literal["Notification"] = msgspec.field(name="Type")
    topic: str = msgspec.field(name="TopicArn")
    message: str = msgspec.field(name="Message")


class _Event(msgspec.Struct):
    detail_type: str = msgspec.field(name="detail-type")
    source: str
    detail: msgspec.Raw


class _Original(msgspec.Struct):
    body: str


class _Letter(msgspec.Struct):
    version: int = msgspec.field(name=MARKER)
    original: _Original


_NOTIFICATION = msgspec.json.Decoder(_Notification)
_EVENT = msgspec.json.Decoder(_Event)
_LETTER = msgspec.json.Decoder(_Letter)


class BodyError(Exception):
    """The whole body is rejected, for this code."""

    def __init__(self, code: Code) -> None:
        super().__init__(code)
        self.code: Code = code


@dataclass(slots=True)
class Budget:
    """What the bodies of one raw file may still become, all together: bytes out of gzip, and records."""

    bytes_left: int
    records_left: int


def expanded_bytes_max(body: str) -> int:
    """What a body may become, by the characters in which it came (wrappers and base64 included)."""
    return min(EXPANDED_BYTES_MAX, max(EXPANDED_BYTES_FREE, EXPANDED_RATIO_MAX * len(body)))


def expanded(text: str, bytes_max: int, budget: Budget) -> str:
    """The text of one or several gzip members in base64."""
    try:
        plain = _gunzip(base64.b64decode("".join(text.split()), validate=True), min(bytes_max, budget.bytes_left))
        budget.bytes_left -= len(plain)
        return plain.decode("utf-8")
    except (binascii.Error, ValueError, zlib.error):
        raise BodyError("bad_encoding") from None


def _gunzip(packed: bytes, bytes_max: int) -> bytearray:
    plain = bytearray()
    member = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    at = 0
    while at < len(packed):
        if member.eof:
            member = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        piece = packed[at : at + PIECE_BYTES]
        plain += member.decompress(piece, bytes_max + 1 - len(plain))
        if len(plain) > bytes_max:
            raise BodyError("too_large")
        at += len(piece) - len(member.unused_data)
    if not member.eof:
        raise BodyError("bad_encoding")
    return plain


def unwrapped(text: str) -> str | None:
    """What an envelope holds, exactly as it was sent, or None where the text is none. Builds nothing of the rest."""
    if not text.startswith("{") or not any(mark in text for mark in WRAPPER_MARKS):
        return None
    if (notification := _read(_NOTIFICATION, text)) is not None:
        return notification.message
    if (event := _read(_EVENT, text)) is not None and bytes(event.detail).startswith(b"{"):
        return str(bytes(event.detail), "utf-8")
    letter = _read(_LETTER, text)
    return letter.original.body if letter is not None else None


def _read(envelope: msgspec.json.Decoder[T], text: str) -> T | None:
    try:
        return envelope.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return None
