"""What compressed bodies may become: in proportion to their size, and never more than the limits."""

import base64
import gzip
import random
import zlib

import pytest

from service.refine.unpack import (
    EXPANDED_BYTES_FREE,
    EXPANDED_BYTES_MAX,
    EXPANDED_RATIO_MAX,
    PIECE_BYTES,
    BodyError,
    Budget,
    expanded,
    expanded_bytes_max,
)

ENOUGH = 10**9


def packed(*members: bytes, level: int = 9) -> str:
    return base64.b64encode(b"".join(gzip.compress(member, level, mtime=0) for member in members)).decode()


def opened(text: str, *, bytes_left: int = ENOUGH) -> str:
    return expanded(text, expanded_bytes_max(text), Budget(bytes_left, ENOUGH))


def code(text: str, *, bytes_left: int = ENOUGH) -> str:
    with pytest.raises(BodyError) as raised:
        opened(text, bytes_left=bytes_left)
    return raised.value.code


@pytest.mark.parametrize(
    ("characters", "bytes_max"),
    [
        (1, EXPANDED_BYTES_FREE),
        (EXPANDED_BYTES_FREE // EXPANDED_RATIO_MAX, EXPANDED_BYTES_FREE),
        (20_000, 2_000_000),
        (1_000_000, EXPANDED_BYTES_MAX),
    ],
)
def test_a_body_may_become_a_hundred_times_itself_between_1_and_24_mebibytes(characters: int, bytes_max: int) -> None:
    assert expanded_bytes_max("a" * characters) == bytes_max


def test_what_a_body_may_become_grows_with_its_size() -> None:
    """The noise, which does not compress, sets the size of the body."""
    noise = random.Random(1).randbytes(30_000).hex().encode()
    most = expanded_bytes_max(packed(noise))
    fits, over = (packed(noise, b" " * (most + more)) for more in (-100_000, 1_000_000))
    assert len(opened(fits)) == most - 100_000 + len(noise)
    assert code(over) == "too_large"


@pytest.mark.parametrize(("noise_bytes", "most"), [(0, EXPANDED_BYTES_FREE), (300_000, EXPANDED_BYTES_MAX)])
def test_a_byte_more_than_the_limit_is_too_large(noise_bytes: int, most: int) -> None:
    noise = random.Random(1).randbytes(noise_bytes).hex().encode()
    fits, over = (packed(noise, b" " * (most - len(noise) + more)) for more in (0, 1))
    assert len(opened(fits)) == most
    assert code(over) == "too_large"


@pytest.mark.parametrize("left", [0, 9])
def test_what_the_file_has_left_counts_too(left: int) -> None:
    assert opened(packed(b"a" * left), bytes_left=left) == "a" * left
    assert code(packed(b"a" * (left + 1)), bytes_left=left) == "too_large"


def test_each_body_takes_from_what_is_left() -> None:
    budget = Budget(10, ENOUGH)
    assert expanded(packed(b"a" * 6), ENOUGH, budget) == "a" * 6
    assert budget.bytes_left == 4


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES - 40, PIECE_BYTES, 3 * PIECE_BYTES])
def test_members_may_end_anywhere_in_a_piece(size: int) -> None:
    noise = random.Random(size).randbytes(size).hex().encode()
    assert opened(packed(noise, b"", noise[::-1], level=1)) == (noise + noise[::-1]).decode()


@pytest.mark.parametrize("cut", [1, 8, 19])
@pytest.mark.parametrize("size", [0, 10_000])
def test_a_member_that_is_cut_off_is_no_gzip(cut: int, size: int) -> None:
    whole = base64.b64decode(packed(random.Random(1).randbytes(size).hex().encode(), b"a"))
    assert code(base64.b64encode(whole[:-cut]).decode()) == "bad_encoding"


def test_deflate_that_is_not_gzip_is_none() -> None:
    assert code(base64.b64encode(zlib.compress(b"a")).decode()) == "bad_encoding"
