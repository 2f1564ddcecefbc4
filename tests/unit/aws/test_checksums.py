"""What a store answers to a PUT is held against the bytes that were sent."""

import asyncio
import base64
import hashlib
import zlib
from typing import Any

import pytest

from service.aws.s3 import S3Store
from service.core.errors import TransientError

BODY = b"a raw object"
CRC = base64.b64encode(zlib.crc32(BODY).to_bytes(4, "big")).decode()
MD5 = hashlib.md5(BODY).hexdigest()


class Client:
    """An S3 client that answers as it is told."""

    def __init__(self, answer: dict[str, Any]) -> None:
        self._answer = answer
        self.removed: list[str] = []

    async def put_object(self, **_: Any) -> dict[str, Any]:
        return self._answer

    async def delete_object(self, *, Bucket: str, Key: str, IfMatch: str) -> None:  # noqa: N803 (the SDK's names)
        self.removed.append(f"{Bucket}/{Key} {IfMatch}")


@pytest.mark.parametrize(
    "answer",
    [
        {"ETag": f'"{MD5}"', "ChecksumCRC32": CRC},
        {"ETag": '"' + "0" * 32 + '"', "ChecksumCRC32": CRC},
        {"ETag": f'"{MD5}"'},
        {"ETag": '"' + "0" * 32 + '"', "SSEKMSKeyId": "arn:key"},
        {"ETag": '"' + "0" * 32 + '"', "SSECustomerAlgorithm": "AES256"},
        {"ETag": '"not-an-md5-1"'},
    ],
)
def test_bytes_that_are_kept_as_they_were_sent_are_stored(answer: dict[str, Any]) -> None:
    client = Client(answer)
    assert asyncio.run(S3Store(client).put_new("s3://b/k", BODY)).new
    assert not client.removed


@pytest.mark.parametrize("answer", [{"ETag": f'"{MD5}"', "ChecksumCRC32": "AAAAAA=="}, {"ETag": '"' + "0" * 32 + '"'}])
def test_bytes_that_are_kept_otherwise_are_removed_and_tried_again(answer: dict[str, Any]) -> None:
    client = Client(answer)
    with pytest.raises(TransientError, match="kept other bytes"):
        asyncio.run(S3Store(client).put_new("s3://b/k", BODY))
    assert client.removed == [f"b/k {answer['ETag']}"], "and nothing that was stored there meanwhile"
