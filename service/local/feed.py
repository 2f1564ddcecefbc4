"""Sends records to the records queue as an application would, never more than the emulator bears at once."""

import base64
import gzip
import zlib
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path

from service.core.errors import SetupError
from service.core.model import Attribute, Outgoing
from service.core.ports import Queue

QUEUED_MESSAGES_MAX = 2_000
"""Emulated receives slow down with the backlog: 2 ms at 500 messages, 192 ms at 100,000 (measured)."""
BODY_BYTES_MAX = 900 * 1024
"""Below SQS's 1 MiB, with room for attributes."""
SENT_AT_ONCE = 50

_ALLOWED = {0x9, 0xA, 0xD}


def read_lines(path: Path) -> Iterator[bytes]:
    """The lines of a file, plain or gzip (by its first bytes); raises SetupError where gzip turns out broken."""
    with path.open("rb") as plain:
        packed = plain.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path) if packed else path.open("rb") as file:
            for line in file:
                stripped = line.rstrip(b"\r\n")
                if stripped.strip():
                    yield stripped
    except (gzip.BadGzipFile, EOFError, zlib.error) as wrong:
        raise SetupError(f"{path}: not a whole gzip file: {wrong}") from None


def messages(lines: Iterable[bytes], *, dataset: str, records_per_message: int) -> Iterator[tuple[Outgoing, int]]:
    """Messages and how many records each carries: NDJSON bodies, within what SQS takes.

    A line that SQS would not take (bytes that are not UTF-8, control characters) travels alone, as gzip in base64.
    """
    attributes = {"dataset": Attribute("String", dataset)}
    body: list[str] = []
    body_bytes = 0
    for number, line in enumerate(lines, start=1):
        text = _plain(line)
        full = len(body) == records_per_message or body_bytes + len(line) > BODY_BYTES_MAX
        if body and (full or text is None):
            yield Outgoing("\n".join(body), attributes), len(body)
            body, body_bytes = [], 0
        if text is None:
            yield Outgoing(_packed(line, number), attributes), 1
        else:
            body.append(text)
            body_bytes += len(line) + 1
    if body:
        yield Outgoing("\n".join(body), attributes), len(body)


async def feed(
    queue: Queue,
    source: Iterable[tuple[Outgoing, int]],
    *,
    room: Callable[[int], Awaitable[None]],
    sent: Callable[[int, int], None],
) -> None:
    """Send everything. `room` waits until that many messages may be queued; `sent` is told messages and records."""
    waiting: list[tuple[Outgoing, int]] = []

    async def flush() -> None:
        await room(len(waiting))
        await queue.send([message for message, _ in waiting])
        sent(len(waiting), sum(records for _, records in waiting))
        waiting.clear()

    for one in source:
        waiting.append(one)
        if len(waiting) == SENT_AT_ONCE:
            await flush()
    if waiting:
        await flush()


def _plain(line: bytes) -> str | None:
    """The line as text, where SQS would take it as it is."""
    if len(line) > BODY_BYTES_MAX:
        return None
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        return None
    if text.isprintable() or all(_carried(ord(letter)) for letter in text):
        return text
    return None


def _carried(code: int) -> bool:
    """SQS takes the characters of XML 1.0."""
    return code in _ALLOWED or 0x20 <= code <= 0xD7FF or 0xE000 <= code <= 0xFFFD or code >= 0x10000  # noqa: PLR2004


def _packed(line: bytes, number: int) -> str:
    body = base64.b64encode(gzip.compress(line)).decode("ascii")
    if len(body) > BODY_BYTES_MAX:
        raise SetupError(f"line {number} is too large for an SQS message: {len(line)} bytes, {len(body)} when packed")
    return body
