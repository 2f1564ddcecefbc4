"""The PostgreSQL wire protocol v3: its framing and the few messages that the stand-in reads or writes itself.

Nothing here knows what a message is for. A message is a kind (one byte) and a body; on the wire the body follows
its length (four bytes, which count themselves).
"""

import asyncio
import struct
from collections.abc import Mapping
from typing import NamedTuple

MESSAGE_BYTES_MAX = 64 * 1024 * 1024
STARTUP_BYTES_MAX = 10_000
READ_BYTES = 256 * 1024

SSL_REQUEST = 80877103
GSS_REQUEST = 80877104
CANCEL_REQUEST = 80877102
CANCEL_KEY_START = 8

_HEAD = struct.Struct("!ci")
_INT = struct.Struct("!i")
_SHORT = struct.Struct("!h")
_COPY_CHUNK_BYTES = 64 * 1024


class ProtocolError(Exception):
    """A peer broke the wire protocol, or sent a message above the limit."""


class Message(NamedTuple):
    """One message as it is on the wire."""

    kind: bytes
    raw: bytes

    @classmethod
    def of(cls, kind: bytes, body: bytes = b"") -> "Message":
        return cls(kind, _HEAD.pack(kind, len(body) + _INT.size) + body)

    @property
    def body(self) -> bytes:
        return self.raw[_HEAD.size :]


class Startup(NamedTuple):
    """The first packet of a connection, which has no kind."""

    code: int
    raw: bytes

    def parameters(self) -> dict[str, str]:
        parts = [part.decode("utf-8", "replace") for part in self.raw[8:].split(b"\0")]
        return dict(zip(parts[::2], parts[1::2], strict=False))

    def with_parameter(self, name: str, value: str) -> "Startup":
        """The same packet with one parameter more."""
        raw = self.raw[:-1] + f"{name}\0{value}\0".encode() + b"\0"
        return Startup(self.code, _INT.pack(len(raw)) + raw[_INT.size :])


class MessageReader:
    """Takes messages from a stream, as many at a time as have arrived."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._buffer = bytearray()

    async def startup(self) -> Startup:
        """Raises IncompleteReadError when the peer leaves, ProtocolError on nonsense."""
        length = await self._reader.readexactly(_INT.size)
        (size_bytes,) = _INT.unpack(length)
        if not 2 * _INT.size <= size_bytes <= STARTUP_BYTES_MAX:
            raise ProtocolError("The first packet has an impossible length.")
        rest = await self._reader.readexactly(size_bytes - _INT.size)
        return Startup(_INT.unpack_from(rest)[0], length + rest)

    async def batch(self) -> list[Message]:
        """Every complete message that is here, at least one; empty when the peer has left."""
        while True:  # ends with a complete message or with the stream
            messages = self._taken()
            if messages:
                return messages
            received = await self._reader.read(READ_BYTES)
            if not received:
                return []
            self._buffer += received

    def _taken(self) -> list[Message]:
        messages = []
        start = 0
        while start + _HEAD.size <= len(self._buffer):
            kind, length = _HEAD.unpack_from(self._buffer, start)
            if not _INT.size <= length <= MESSAGE_BYTES_MAX:
                raise ProtocolError(f"A message has an impossible length; at most {MESSAGE_BYTES_MAX} bytes are taken.")
            end = start + 1 + length
            if end > len(self._buffer):
                break
            messages.append(Message(kind, bytes(self._buffer[start:end])))
            start = end
        del self._buffer[:start]
        return messages


def text(body: bytes) -> str:
    """The zero-ended string at the start of a body."""
    return body.split(b"\0", 1)[0].decode("utf-8", "replace")


def query(sql: str) -> Message:
    return Message.of(b"Q", sql.encode() + b"\0")


def parse_parts(body: bytes) -> tuple[bytes, str, bytes]:
    """A Parse message's statement name, query text, and parameter types as they are on the wire."""
    name, sql, types = body.split(b"\0", 2)
    return name, sql.decode("utf-8", "replace"), types


def parse(name: bytes, sql: str, types: bytes) -> Message:
    return Message.of(b"P", b"\0".join((name, sql.encode(), types)))


def bind_nothing(statement: str) -> Message:
    """A Bind of a statement by this name, without parameters."""
    return Message.of(b"B", b"\0" + statement.encode() + b"\0" + bytes(6))


def copy_data(payload: bytes) -> list[Message]:
    """CopyData messages of a size that the backend likes."""
    pieces = range(0, len(payload), _COPY_CHUNK_BYTES)
    return [Message.of(b"d", payload[start : start + _COPY_CHUNK_BYTES]) for start in pieces]


def copy_done() -> Message:
    return Message.of(b"c")


def copy_fail(reason: str) -> Message:
    return Message.of(b"f", reason.encode() + b"\0")


def terminate() -> Message:
    return Message.of(b"X")


def ready(status: bytes) -> Message:
    """ReadyForQuery; status is I (idle), T (in a transaction) or E (in a failed one)."""
    return Message.of(b"Z", status)


def command_complete(tag: str) -> Message:
    return Message.of(b"C", tag.encode() + b"\0")


def parameter_status(name: str, value: str) -> Message:
    return Message.of(b"S", f"{name}\0{value}\0".encode())


def parameter_parts(body: bytes) -> tuple[str, str]:
    name, value, _ = body.split(b"\0", 2)
    return name.decode(), value.decode()


def error(sqlstate: str, message: str, detail: str = "", *, severity: str = "ERROR") -> Message:
    fields = {"S": severity, "V": severity, "C": sqlstate, "M": message, "D": detail}
    return Message.of(b"E", _fields_encoded(fields))


def notice(severity: str, message: str) -> Message:
    """Severity as the client shows it, such as INFO."""
    return Message.of(b"N", _fields_encoded({"S": severity, "V": severity, "C": "00000", "M": message}))


def fields(body: bytes) -> dict[str, str]:
    """The fields of an ErrorResponse or NoticeResponse, by their one-letter codes."""
    parts = [part.decode("utf-8", "replace") for part in body.split(b"\0") if part]
    return {part[0]: part[1:] for part in parts}


def data_row(body: bytes) -> tuple[str | None, ...]:
    """The values of a DataRow in text format."""
    (count,) = _SHORT.unpack_from(body)
    values: list[str | None] = []
    start = _SHORT.size
    for _ in range(count):
        (length,) = _INT.unpack_from(body, start)
        start += _INT.size
        values.append(None if length < 0 else body[start : start + length].decode())
        start += max(length, 0)
    return tuple(values)


def _fields_encoded(values: Mapping[str, str]) -> bytes:
    return b"".join(f"{code}{value}\0".encode() for code, value in values.items() if value) + b"\0"
