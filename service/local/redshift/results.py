"""Result rows as Redshift sends them, where that differs from PostgreSQL.

A NUMERIC in binary is a whole number of 8 or 16 bytes, scaled by what the column's declaration says; SUPER has its own
type modifier and compact text. To know the columns of a row, this follows what client and backend say to each other.
"""

import re
import struct
from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

from service.local.redshift.refusals import OWN_LIMIT, RefusedError, not_supported
from service.local.redshift.wire import Message, ProtocolError

NUMERIC, SUPER = 1700, 4000
SUPER_MODIFIER = 16384000

_SHORT_DIGITS_MAX = 18
_MODIFIER_HEAD = 4
_NEGATIVE = 0x4000
_BINARY = 1
_SPACED_JSON = re.compile(rb'("(?:[^"\\]|\\.)*")|([:,]) ')


class Field(NamedTuple):
    """A column of a result."""

    name: str
    kind: int
    modifier: int

    @property
    def precision_and_scale(self) -> tuple[int, int] | None:
        """As declared; None where nothing declares them."""
        declared = self.modifier - _MODIFIER_HEAD
        return None if declared < 0 else (declared >> 16, declared & 0x7FF)


class _Answer(NamedTuple):
    """An answer that is still to come: to a Describe, an Execute, or (Z) a Sync or simple query."""

    to: bytes
    name: bytes


@dataclass
class _Portal:
    fields: list[Field]
    formats: list[int]

    def format(self, at: int) -> int:
        if len(self.formats) <= 1:
            return self.formats[0] if self.formats else 0
        return self.formats[at]


class Results:
    """Follows one session. `sent` sees what goes to the backend, `shown` gives what goes to the client."""

    def __init__(self) -> None:
        self._texts: dict[bytes, bytes] = {}
        self._statements: dict[bytes, list[Field]] = {}
        self._parameters: dict[bytes, list[int]] = {}
        self._portals: dict[bytes, _Portal] = {}
        self._awaited: deque[_Answer] = deque()
        self._row = _Portal([], [])

    def sent(self, message: Message) -> None:
        """Note a message of the client. Raises RefusedError where its results could not be sent as Redshift would."""
        match message.kind:
            case b"P":
                self._parse(*message.body.split(b"\0", 2)[:2])
            case b"C":
                for known in (self._texts, self._statements, self._parameters) if message.body[:1] == b"S" else ():
                    known.pop(message.body[1:].split(b"\0", 1)[0], None)
            case b"D":
                self._awaited.append(_Answer(message.body[:1], message.body[1:].split(b"\0", 1)[0]))
            case b"B":
                self._bind(message.body)
            case b"E":
                self._awaited.append(_Answer(b"E", message.body.split(b"\0", 1)[0]))
            case b"S" | b"Q":
                self._awaited.append(_Answer(b"Z", b""))

    def _parse(self, name: bytes, text: bytes) -> None:
        """A statement that is parsed a second time keeps its description: so asyncpg does with the unnamed one."""
        if self._texts.get(name) != text:
            self._statements.pop(name, None)
            self._parameters.pop(name, None)
        self._texts[name] = text

    def _bind(self, body: bytes) -> None:
        portal, statement, rest = body.split(b"\0", 2)
        given, at = _shorts(rest, 0)
        (count,) = struct.unpack_from("!h", rest, at)
        at += 2
        for _ in range(count):
            (length,) = struct.unpack_from("!i", rest, at)
            at += 4 + max(length, 0)
        wanted, _ = _shorts(rest, at)
        bound = _Portal(self._statements.get(statement, []), wanted)
        if _BINARY in wanted and statement not in self._statements:
            raise not_supported(f"{OWN_LIMIT} Results in binary need a Describe of the statement first.")
        parameters = self._parameters.get(statement, [])
        formats = _Portal([], given)
        if any(kind == NUMERIC and formats.format(place) for place, kind in enumerate(parameters)):
            raise not_supported(f"{OWN_LIMIT} A NUMERIC parameter is taken as text only.")
        for place, field in enumerate(bound.fields):
            if bound.format(place) == _BINARY:
                _check_binary(field)
        self._portals[portal] = bound

    def shown(self, message: Message) -> Message:
        """The backend's message as the client sees it."""
        awaited = self._awaited[0] if self._awaited else None
        match message.kind:
            case b"T":
                return self._described(message, awaited)
            case b"t" if awaited and awaited.to == b"S":
                count = struct.unpack_from("!h", message.body)[0]
                self._parameters[awaited.name] = list(struct.unpack_from(f"!{count}I", message.body, 2))
            case b"n" if awaited and awaited.to in {b"S", b"P"}:
                if awaited.to == b"S":
                    self._statements[awaited.name] = []
                self._awaited.popleft()
            case b"D":
                portal = self._portals.get(awaited.name, self._row) if awaited and awaited.to == b"E" else self._row
                return _row(message, portal)
            case b"C" | b"s" | b"I" if awaited and awaited.to == b"E":
                self._awaited.popleft()
            case b"Z":
                while self._awaited and self._awaited.popleft().to != b"Z":
                    pass
        return message

    def _described(self, message: Message, awaited: _Answer | None) -> Message:
        fields, shown = described(message)
        if awaited and awaited.to == b"S":
            self._statements[awaited.name] = fields
            self._awaited.popleft()
        elif awaited and awaited.to == b"P":
            self._awaited.popleft()
        else:
            self._row = _Portal(fields, [])
        return shown


def described(message: Message) -> tuple[list[Field], Message]:
    """The fields of a RowDescription, and the message as Redshift sends it."""
    body = bytearray(message.body)
    fields, at = [], 2
    for _ in range(struct.unpack_from("!h", body)[0]):
        end = body.index(0, at)
        name = body[at:end].decode()
        kind, modifier_at = struct.unpack_from("!I", body, end + 7)[0], end + 13
        if kind == SUPER:
            struct.pack_into("!i", body, modifier_at, SUPER_MODIFIER)
        fields.append(Field(name, kind, struct.unpack_from("!i", body, modifier_at)[0]))
        at = end + 19
    return fields, Message.of(b"T", bytes(body))


def compact_json(document: bytes) -> bytes:
    """PostgreSQL's text of a jsonb without the blanks that Redshift does not write."""
    return _SPACED_JSON.sub(rb"\1\2", document)


def _row(message: Message, portal: _Portal) -> Message:
    different = [
        (at, field)
        for at, field in enumerate(portal.fields)
        if field.kind == SUPER or (field.kind == NUMERIC and portal.format(at) == _BINARY)
    ]
    if not different:
        return message
    values = _values(message.body)
    for at, field in different:
        value = values[at]
        if value is not None:
            values[at] = compact_json(value) if field.kind == SUPER else _scaled(value, field)
    packed = [struct.pack("!i", -1) if value is None else struct.pack("!i", len(value)) + value for value in values]
    return Message.of(b"D", struct.pack("!h", len(values)) + b"".join(packed))


def _values(body: bytes) -> list[bytes | None]:
    values: list[bytes | None] = []
    at = 2
    for _ in range(struct.unpack_from("!h", body)[0]):
        (length,) = struct.unpack_from("!i", body, at)
        at += 4
        values.append(None if length < 0 else body[at : at + length])
        at += max(length, 0)
    return values


def _scaled(value: bytes, field: Field) -> bytes:
    """PostgreSQL's digits in base 10,000 as one whole number."""
    count, weight, sign, _ = struct.unpack_from("!hhHH", value)
    if sign not in {0, _NEGATIVE}:
        raise ProtocolError("Redshift's NUMERIC has no NaN and no infinity.")
    precision, scale = field.precision_and_scale or (0, 0)
    number = 0
    for digit in struct.unpack_from(f"!{count}h", value, 8):
        number = number * 10_000 + digit
    shift = scale + 4 * (weight - count + 1)
    number = number * 10**shift if shift >= 0 else number // 10**-shift
    width = 8 if precision <= _SHORT_DIGITS_MAX else 16
    signed = -number if sign == _NEGATIVE else number
    return int(signed).to_bytes(width, "big", signed=True)


def _check_binary(field: Field) -> None:
    if field.kind == SUPER:
        raise not_supported(f"{OWN_LIMIT} SUPER is sent as text only.")
    if field.kind == NUMERIC and field.precision_and_scale is None:
        raise RefusedError(
            "0A000",
            f"{OWN_LIMIT} NUMERIC in binary is scaled by its declaration, and {field.name} has none: ask for text.",
        )


def _shorts(data: bytes, at: int) -> tuple[list[int], int]:
    (count,) = struct.unpack_from("!h", data, at)
    return list(struct.unpack_from(f"!{count}h", data, at + 2)), at + 2 + 2 * count
