"""The `ObjectStore` port on S3: whole objects, written once, and few small ones that are compared and set.

PUT carries If-None-Match: where an object already lies (our own, when an answer was lost, or another process's of the
same batch) S3 answers 412, and the object that is there is described instead. 409 means a concurrent PUT: try again.
That the object there differs from ours is no fault: another process may have announced it, and it stays. But one that
is not even whole, because what was stored is not what was sent, stands in everybody's way: it is removed, by its ETag,
so that nobody loses what was stored in its place meanwhile, and the next try stores anew.
A replacement carries If-Match. There 412, 409 and 404 (it was removed) all mean that somebody was faster, or that the
SDK's own second try met what the first had stored: what lies there is read, and tells which.
"""

import asyncio
import base64
import hashlib
import json
import re
import zlib
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC
from typing import Any

from botocore.exceptions import ClientError

from service.aws.clients import AwsClient
from service.aws.faults import MISSING_OBJECT, aws_faults, code_of
from service.core.errors import RejectedError, TransientError
from service.core.ports import Listed, Stored
from service.core.zones import split_uri

CALL_SECONDS_MAX = 120
MD5 = re.compile(r"[0-9a-f]{32}")
PARQUET, PARQUET_FRAME_BYTES = b"PAR1", 12
"""What a Parquet file begins and ends with; and what that takes, together with the length of its footer."""
KEYS_A_CALL_MAX = 1_000
"""AWS: DeleteObjects."""
CRC = "crc32"
"""Metadata of our objects: the checksum of what was sent, whatever the store made of it."""
EXISTS = {"PreconditionFailed", "412"}
CHANGED = EXISTS | MISSING_OBJECT | {"ConditionalRequestConflict", "409"}
"""AWS: conditional writes. To If-Match where nothing lies S3 answers NoSuchKey."""


class S3Store:
    """Objects of the configured zones."""

    def __init__(self, client: AwsClient) -> None:
        self._client = client

    async def put_new(self, uri: str, body: bytes) -> Stored:
        """Store, or describe what lies there already; TransientError where that is not whole, and was removed."""
        bucket, key = split_uri(uri)
        with aws_faults("s3", f"store an object in {bucket}"):
            async with asyncio.timeout(CALL_SECONDS_MAX):
                told = {CRC: await asyncio.to_thread(_crc, body)}
                try:
                    answer = await self._client.put_object(
                        Bucket=bucket, Key=key, Body=body, IfNoneMatch="*", Metadata=told
                    )
                except ClientError as wrong:
                    if code_of(wrong) not in EXISTS:
                        raise
                    return await self._there(uri, body)
                stored = Stored(uri, answer["ETag"].strip('"'), len(body), new=True)
                if await asyncio.to_thread(_is_of, body, answer) is False:
                    await self._remove_broken(stored)
                    raise TransientError("s3", f"{bucket} kept other bytes than were sent; the object was removed")
        return stored

    async def describe(self, uri: str) -> Stored | None:
        """HEAD: what lies at the address."""
        bucket, key = split_uri(uri)
        with aws_faults("s3", f"look at an object in {bucket}"):
            async with asyncio.timeout(CALL_SECONDS_MAX):
                try:
                    found = await self._client.head_object(Bucket=bucket, Key=key)
                except ClientError as wrong:
                    if code_of(wrong) not in MISSING_OBJECT:
                        raise
                    return None
        return Stored(uri, found["ETag"].strip('"'), int(found["ContentLength"]))

    async def get(self, uri: str) -> bytes:
        """A whole object."""
        body, _ = await self._whole(uri)
        return body

    async def read(self, uri: str) -> tuple[bytes, str] | None:
        """A whole object with its etag."""
        try:
            return await self._whole(uri)
        except RejectedError:
            return None

    async def replace(self, uri: str, body: bytes, *, etag: str | None) -> str | None:
        """PUT with If-Match, or with If-None-Match where nothing should lie."""
        bucket, key = split_uri(uri)
        condition = {"IfNoneMatch": "*"} if etag is None else {"IfMatch": f'"{etag}"'}
        with aws_faults("s3", f"replace an object in {bucket}"):
            async with asyncio.timeout(CALL_SECONDS_MAX):
                try:
                    answer = await self._client.put_object(Bucket=bucket, Key=key, Body=body, **condition)
                except ClientError as wrong:
                    if code_of(wrong) not in CHANGED:
                        raise
                else:
                    # Nothing is removed here: unlike a new object, a state that is lost does not come again.
                    if await asyncio.to_thread(_is_of, body, answer) is False:
                        raise TransientError("s3", f"{bucket} kept other bytes than were sent")
                    return str(answer["ETag"]).strip('"')
        found = await self.read(uri)
        return found[1] if found is not None and found[0] == body else None

    async def pages(self, prefix: str) -> AsyncIterator[Sequence[Listed]]:
        """List, up to a thousand objects a call; between two calls nothing is held open."""
        bucket, start = split_uri(prefix)
        place: dict[str, str] | None = {}
        while place is not None:
            answer = await self._page(bucket, start, place)
            if found := [_listed(bucket, one) for one in answer.get("Contents", [])]:
                yield found
            token = answer.get("NextContinuationToken")
            place = {"ContinuationToken": token} if token else None

    async def remove(self, uris: Sequence[str]) -> None:
        """Delete; what is not there is no error. What one call leaves undone is told by the first of it."""
        keys: dict[str, list[str]] = {}
        for bucket, key in map(split_uri, uris):
            keys.setdefault(bucket, []).append(key)
        for bucket, found in keys.items():
            for start in range(0, len(found), KEYS_A_CALL_MAX):
                await self._delete(bucket, found[start : start + KEYS_A_CALL_MAX])

    async def _there(self, uri: str, body: bytes) -> Stored:
        """What lies where ours was to lie."""
        bucket, key = split_uri(uri)
        try:
            found = await self._client.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
        except ClientError as wrong:
            if code_of(wrong) not in MISSING_OBJECT:
                raise
            raise TransientError("s3", f"an object in {bucket} vanished while it was looked at") from None
        stored = Stored(uri, found["ETag"].strip('"'), int(found["ContentLength"]))
        ours = await asyncio.to_thread(_is_of, body, found) if stored.content_length_bytes == len(body) else False
        if not ours and not await self._sound(stored, found.get("Metadata", {}).get(CRC)):
            await self._remove_broken(stored)
            raise TransientError("s3", f"what lay in {bucket} in the place of an object was not whole; it was removed")
        return stored

    async def _sound(self, stored: Stored, crc: str | None) -> bool:
        """Whether an object is what its writer sent, by the checksum that came along, else by its shape.

        Bytes that may not be the object's are no proof of anything.
        """
        read = await self.read(stored.uri)
        if read is None or (len(read[0]), read[1]) != (stored.content_length_bytes, stored.etag):
            raise TransientError("s3", "an object that was looked at came otherwise than it lies there")
        if crc is not None:
            return await asyncio.to_thread(_crc, read[0]) == crc
        return await asyncio.to_thread(_is_whole, stored.uri, read[0])

    async def _remove_broken(self, stored: Stored) -> None:
        """Delete this very object. Where another lies there by now, or none, somebody else has seen to it."""
        bucket, key = split_uri(stored.uri)
        with aws_faults("s3", f"remove a broken object in {bucket}"):
            try:
                await self._client.delete_object(Bucket=bucket, Key=key, IfMatch=f'"{stored.etag}"')
            except ClientError as wrong:
                if code_of(wrong) not in CHANGED:
                    raise

    async def _whole(self, uri: str) -> tuple[bytes, str]:
        bucket, key = split_uri(uri)
        with aws_faults("s3", f"read an object in {bucket}"):
            async with asyncio.timeout(CALL_SECONDS_MAX):
                answer = await self._client.get_object(Bucket=bucket, Key=key)
                async with answer["Body"] as stream:
                    body = bytes(await stream.read())
                # The SDK holds the bytes against a checksum, but only where the answer has one.
                if "ChecksumCRC32" not in answer and await asyncio.to_thread(_is_of, body, answer) is False:
                    raise TransientError("s3", f"{bucket} gave other bytes than it keeps")
        return body, str(answer["ETag"]).strip('"')

    async def _page(self, bucket: str, start: str, place: Mapping[str, str]) -> Mapping[str, Any]:
        with aws_faults("s3", f"list objects in {bucket}"):
            async with asyncio.timeout(CALL_SECONDS_MAX):
                answer: Mapping[str, Any] = await self._client.list_objects_v2(Bucket=bucket, Prefix=start, **place)
                return answer

    async def _delete(self, bucket: str, keys: Sequence[str]) -> None:
        objects = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
        with aws_faults("s3", f"delete objects in {bucket}"):
            async with asyncio.timeout(CALL_SECONDS_MAX):
                answer = await self._client.delete_objects(Bucket=bucket, Delete=objects)
            for failed in answer.get("Errors", []):
                raise ClientError({"Error": {"Code": failed.get("Code", "")}}, "DeleteObjects")


def _listed(bucket: str, one: Mapping[str, Any]) -> Listed:
    return Listed(f"s3://{bucket}/{one['Key']}", int(one["Size"]), one["LastModified"].astimezone(UTC))


def _is_of(body: bytes, answer: Mapping[str, Any]) -> bool | None:
    """Whether the object that an answer tells of has these bytes, by its checksum; None where it has none that tells.

    Messages are deleted on the strength of it. S3 answers with the CRC that the SDK sent along. Where a store does not,
    its ETag is the MD5 of the bytes, unless a KMS key or one of the customer's encrypts them (AWS: PutObject).
    """
    if "ChecksumCRC32" in answer:
        return bool(answer["ChecksumCRC32"] == _crc(body))
    etag = str(answer["ETag"]).strip('"')
    if answer.get("SSEKMSKeyId") or answer.get("SSECustomerAlgorithm") or not MD5.fullmatch(etag):
        return None
    return etag == hashlib.md5(body, usedforsecurity=False).hexdigest()


def _crc(body: bytes) -> str:
    """As S3 writes it."""
    return base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()


def _is_whole(uri: str, body: bytes) -> bool:
    """Whether a file that says in its name what it is has the shape of such a file; others are taken as they are.

    Only its ends are looked at: what stands around a file, or is missing of it, shows there.
    """
    if uri.endswith(".parquet"):
        footer_bytes = int.from_bytes(body[-8:-4], "little")
        return body[:4] == body[-4:] == PARQUET and PARQUET_FRAME_BYTES + footer_bytes <= len(body)
    if uri.endswith((".json", ".manifest")):
        try:
            json.loads(body)
        except ValueError:
            return False
    return True
