"""Lines of a file → messages, as an application would send them."""

import base64
import gzip
import random
from pathlib import Path

import pytest

from service.core.errors import SetupError
from service.core.model import Attribute
from service.local.feed import BODY_BYTES_MAX, messages, read_lines


def bodies(lines: list[bytes], records_per_message: int = 3) -> list[tuple[str, int]]:
    made = messages(lines, dataset="things", records_per_message=records_per_message)
    return [(outgoing.body, records) for outgoing, records in made]


def unpacked(body: str) -> bytes:
    return gzip.decompress(base64.b64decode(body))


@pytest.mark.parametrize("pack", [False, True])
def test_lines_come_without_their_ends_and_blank_ones_not_at_all(tmp_path: Path, *, pack: bool) -> None:
    content = b'{"a":1}\n\r\n\n{"b":2}\r\n{"c":3}'
    path = tmp_path / "records"
    path.write_bytes(gzip.compress(content) if pack else content)
    assert list(read_lines(path)) == [b'{"a":1}', b'{"b":2}', b'{"c":3}']


def corrupt(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes(byte ^ 0xFF for byte in content[middle : middle + 8]) + content[middle + 8 :]


def invalid(content: bytes) -> bytes:
    """A deflate block of the type that does not exist, after gzip's ten bytes of header."""
    return content[:10] + b"\x07" + content[11:]


@pytest.mark.parametrize("damage", [lambda packed: packed[:-9], lambda packed: packed[:12] + b"x", corrupt, invalid])
def test_broken_gzip_is_an_error_of_set_up(tmp_path: Path, damage: object) -> None:
    assert callable(damage)
    path = tmp_path / "records.gz"
    path.write_bytes(damage(gzip.compress(b"".join(b'{"a":%d}\n' % n for n in range(5_000)))))
    with pytest.raises(SetupError, match="not a whole gzip file"):
        list(read_lines(path))


def test_messages_carry_the_dataset_and_so_many_records() -> None:
    lines = [b'{"a":%d}' % number for number in range(7)]
    made = list(messages(lines, dataset="things", records_per_message=3))
    assert [records for _, records in made] == [3, 3, 1]
    assert "\n".join(outgoing.body for outgoing, _ in made).encode() == b"\n".join(lines)
    assert {outgoing.attributes["dataset"] for outgoing, _ in made} == {Attribute("String", "things")}


def test_no_lines_make_no_message() -> None:
    assert bodies([]) == []


def test_a_body_stays_within_its_bytes() -> None:
    third = BODY_BYTES_MAX // 3
    made = bodies([b"a" * third] * 7, records_per_message=100)
    assert [records for _, records in made] == [2, 2, 2, 1]
    assert max(len(body) for body, _ in made) <= BODY_BYTES_MAX


def test_a_line_of_just_the_limit_travels_plain() -> None:
    assert bodies([b"a" * BODY_BYTES_MAX, b"b"]) == [("a" * BODY_BYTES_MAX, 1), ("b", 1)]


@pytest.mark.parametrize(
    "line", [b"\xff\xfe", b'{"a":"\x00"}', b"\x1b", "\ufffe".encode(), b"\xed\xa0\x80", b"a" * (BODY_BYTES_MAX + 1)]
)
def test_a_line_that_sqs_would_not_take_travels_alone_and_packed(line: bytes) -> None:
    made = bodies([b"first", line, b"last"])
    assert [records for _, records in made] == [1, 1, 1]
    assert (made[0][0], unpacked(made[1][0]), made[2][0]) == ("first", line, "last")


@pytest.mark.parametrize("line", ["é 漢 😀", "tab\there", "\u2028", "\x7f"])
def test_what_sqs_takes_travels_as_it_is(line: str) -> None:
    assert bodies([line.encode()]) == [(line, 1)]


def test_a_line_that_cannot_travel_at_all_is_named() -> None:
    noise = random.Random(1).randbytes(1024 * 1024)
    with pytest.raises(SetupError, match=r"^line 2 is too large for an SQS message: 1048576 bytes, "):
        bodies([b"first", noise])
