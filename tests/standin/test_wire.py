"""Framing: however the bytes arrive, the messages are the same."""

import asyncio

import pytest

from service.local.redshift import wire
from service.local.redshift.wire import Message, MessageReader, ProtocolError

MESSAGES = [wire.query("SELECT 1"), wire.copy_done(), wire.error("XX000", "text", "detail")]


class Pieces(asyncio.StreamReader):
    """A stream whose bytes arrive in pieces of one size."""

    def __init__(self, sent: bytes, piece_bytes: int) -> None:
        super().__init__()
        self._pieces = iter([sent[start : start + piece_bytes] for start in range(0, len(sent), piece_bytes)])

    async def read(self, n: int = -1) -> bytes:
        piece = next(self._pieces, b"")
        assert len(piece) <= n
        return piece


@pytest.mark.parametrize("piece_bytes", [1, 2, 5, 7, 1000])
async def test_messages_survive_any_cut(piece_bytes: int) -> None:
    reader = MessageReader(Pieces(b"".join(message.raw for message in MESSAGES), piece_bytes))
    received: list[Message] = []
    while batch := await reader.batch():
        received += batch
    assert received == MESSAGES


async def test_the_end_of_the_stream_is_an_empty_batch() -> None:
    stream = asyncio.StreamReader()
    stream.feed_data(wire.terminate().raw + b"half")
    stream.feed_eof()
    reader = MessageReader(stream)
    assert await reader.batch() == [wire.terminate()]
    assert await reader.batch() == []


@pytest.mark.parametrize("head", [b"Q\x00\x00\x00\x03", b"Q\x7f\xff\xff\xff"])
async def test_an_impossible_length_is_refused(head: bytes) -> None:
    stream = asyncio.StreamReader()
    stream.feed_data(head)
    with pytest.raises(ProtocolError):
        await MessageReader(stream).batch()


def test_fields_and_parameters_are_read_back() -> None:
    assert wire.fields(wire.error("0A000", "message").body) == {
        "S": "ERROR", "V": "ERROR", "C": "0A000", "M": "message",
    }  # fmt: skip
    assert wire.parameter_parts(wire.parameter_status("name", "value").body) == ("name", "value")
    assert wire.parse_parts(wire.parse(b"s1", "SELECT $1", b"\0\0").body) == (b"s1", "SELECT $1", b"\0\0")
