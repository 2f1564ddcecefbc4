"""What lies where an object was to lie, and what comes back of an object, held against what the store says of it."""

import asyncio
import base64
import hashlib
import zlib
from collections.abc import Mapping
from typing import Any, Self

import pytest
from botocore.exceptions import ClientError

from service.aws.s3 import S3Store
from service.core.errors import SetupError, TransientError
from service.core.ports import Stored

RAW = b"PAR1" + b"data" + b"footer" + (6).to_bytes(4, "little") + b"PAR1"
OTHER = RAW.replace(b"data", b"DATA")
"""Of another process with the same batch: as good as ours."""
NO_MD5 = f'"{"e" * 32}"'
KMS = {"ETag": NO_MD5, "SSEKMSKeyId": "arn:key"}
"""Of bytes that a key encrypts the ETag tells nothing."""


def crc_of(body: bytes) -> str:
    return base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()


def md5_of(body: bytes) -> str:
    return hashlib.md5(body).hexdigest()


def framed(body: bytes) -> bytes:
    return f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"


class Body:
    """The stream of a GET."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return

    async def read(self) -> bytes:
        return self._body


class Taken:
    """A client of a store in which something lies already: refuses PUTs; `gives` is what a GET brings of it.

    `told` stands in the answers to HEAD and GET: a checksum, a key, an ETag that is not the MD5.
    """

    def __init__(self, lies: bytes | None, told: Mapping[str, Any] = {}, *, gives: bytes | None = None) -> None:
        self.lies = lies
        self._gives = gives
        self._told = {"ETag": f'"{md5_of(lies or b"")}"', **told}
        self.asked: list[str] = []
        self.refusal = ""
        """The code with which a DELETE is refused."""

    async def put_object(self, **given: Any) -> None:
        assert given["IfNoneMatch"] == "*"
        raise ClientError({"Error": {"Code": "PreconditionFailed"}}, "PutObject")

    async def head_object(self, **given: Any) -> dict[str, Any]:
        self.asked.append("head")
        assert given["ChecksumMode"] == "ENABLED", "else S3 does not tell it"
        if self.lies is None:
            raise ClientError({"Error": {"Code": "404"}}, "HeadObject")
        return {**self._told, "ContentLength": len(self.lies)}

    async def get_object(self, **_: Any) -> dict[str, Any]:
        self.asked.append("get")
        assert self.lies is not None
        return {**self._told, "Body": Body(self.lies if self._gives is None else self._gives)}

    async def delete_object(self, **given: Any) -> None:
        self.asked.append(f"delete {given['IfMatch']}")
        if self.refusal:
            raise ClientError({"Error": {"Code": self.refusal}}, "DeleteObject")


def described(client: Taken, body: bytes = RAW, name: str = "k.parquet") -> Stored:
    return asyncio.run(S3Store(client).put_new(f"s3://b/{name}", body))


@pytest.mark.parametrize("told", [{}, {"ETag": NO_MD5, "ChecksumCRC32": crc_of(RAW)}], ids=["by md5", "by crc"])
def test_our_own_bytes_that_lie_there_are_described_unread(told: dict[str, str]) -> None:
    client = Taken(RAW, told)
    found = described(client)
    assert (found.content_length_bytes, found.new) == (len(RAW), False)
    assert client.asked == ["head"]


@pytest.mark.parametrize("told", [{}, KMS], ids=["told", "not told"])
@pytest.mark.parametrize("other", [OTHER, OTHER.replace(b"DATA", b"LONGER DATA")], ids=["as long", "longer"])
def test_another_sound_object_that_lies_there_is_described_and_stays(other: bytes, told: dict[str, str]) -> None:
    client = Taken(other, told)
    found = described(client)
    assert (found.content_length_bytes, found.etag) == (len(other), told.get("ETag", f'"{md5_of(other)}"').strip('"'))
    assert client.asked == ["head", "get"]


@pytest.mark.parametrize("told", [{}, KMS], ids=["told", "not told"])
@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("k.parquet", framed(RAW)),
        ("k.parquet", RAW[:-3]),
        ("k.parquet", RAW[:-4] + b"PART"),
        ("k.parquet", RAW[4:]),
        ("k.parquet", RAW[:4] + RAW[-8:]),
        ("k.parquet", b"PAR1"),
        ("k.parquet", b""),
        ("k.json", framed(b"{}")),
        ("k.json", b'{"files": ['),
        ("k.manifest", framed(b"{}")),
    ],
    ids=repr,
)
def test_what_lies_there_and_is_not_whole_is_removed_and_not_announced(
    name: str, broken: bytes, told: dict[str, str]
) -> None:
    client = Taken(broken, told)
    with pytest.raises(TransientError, match="was not whole"):
        described(client, name=name)
    assert client.asked == ["head", "get", "delete " + told.get("ETag", f'"{md5_of(broken)}"')]


def test_a_checksum_that_fits_is_no_proof_where_the_length_does_not() -> None:
    client = Taken(framed(RAW), {"ETag": NO_MD5, "ChecksumCRC32": crc_of(RAW)})
    with pytest.raises(TransientError, match="was not whole"):
        described(client)


@pytest.mark.parametrize("name", ["k.json", "k.manifest", "k"])
def test_other_names_have_other_shapes(name: str) -> None:
    client = Taken(b'{"another": 1}')
    assert described(client, b'{"one": 1}', name).content_length_bytes == 14
    assert client.asked == ["head", "get"]


@pytest.mark.parametrize("code", ["PreconditionFailed", "412", "NoSuchKey", "ConditionalRequestConflict"])
def test_what_somebody_has_replaced_meanwhile_is_looked_at_anew(code: str) -> None:
    client = Taken(framed(RAW))
    client.refusal = code
    with pytest.raises(TransientError, match="was not whole"):
        described(client)


@pytest.mark.parametrize(("code", "kind"), [("SlowDown", TransientError), ("AccessDenied", SetupError)])
def test_what_cannot_be_removed_is_not_announced_either(code: str, kind: type[Exception]) -> None:
    client = Taken(framed(RAW))
    client.refusal = code
    with pytest.raises(kind, match=f"remove a broken object in b .*{code}"):
        described(client)


@pytest.mark.parametrize("told", [{}, KMS], ids=["told", "not told"])
def test_bytes_that_came_short_are_no_proof_against_an_object(told: dict[str, str]) -> None:
    client = Taken(OTHER, told, gives=OTHER[:10])
    with pytest.raises(TransientError):
        described(client)
    assert client.asked == ["head", "get"], "it stays"


def test_what_vanishes_while_it_is_looked_at_is_tried_again_and_nothing_is_rejected() -> None:
    with pytest.raises(TransientError, match="vanished"):
        described(Taken(None))


@pytest.mark.parametrize("came", [RAW[:10], OTHER], ids=["short", "other bytes"])
def test_bytes_that_are_not_the_objects_by_its_own_md5_are_no_object(came: bytes) -> None:
    with pytest.raises(TransientError, match="gave other bytes than it keeps"):
        asyncio.run(S3Store(Taken(RAW, gives=came)).get("s3://b/k"))


@pytest.mark.parametrize("told", [{"SSEKMSKeyId": "arn:key"}, {"SSECustomerAlgorithm": "AES256"}], ids=repr)
def test_an_etag_that_is_no_md5_says_nothing_of_the_bytes(told: dict[str, str]) -> None:
    assert asyncio.run(S3Store(Taken(RAW, {"ETag": NO_MD5, **told})).get("s3://b/k")) == RAW


def test_an_object_that_is_altered_in_its_middle_is_known_by_the_checksum_that_came_along() -> None:
    altered = Taken(RAW.replace(b"data", b"dat!"), {"Metadata": {"crc32": crc_of(RAW)}})
    with pytest.raises(TransientError):
        described(altered)
    assert altered.asked == ["head", "get", f'delete "{md5_of(altered.lies or b"")}"']


def test_another_object_whose_checksum_came_along_is_described_whatever_its_shape() -> None:
    other = Taken(b"no parquet", {"Metadata": {"crc32": crc_of(b"no parquet")}})
    assert described(other).content_length_bytes == len(b"no parquet")
    assert other.asked == ["head", "get"]
