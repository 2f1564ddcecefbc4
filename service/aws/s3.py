"""The `ObjectStore` port on S3: whole objects, written once.

PUT carries If-None-Match: where an object already lies (our own, when an answer was lost, or another process's of the
same batch) S3 answers 412, and the object that is there is described instead. 409 means a concurrent PUT: try again.
"""

import asyncio
from collections.abc import Sequence

from botocore.exceptions import ClientError

from service.aws.clients import AwsClient
from service.aws.faults import MISSING_OBJECT, aws_faults, code_of
from service.core.ports import Stored
from service.core.zones import split_uri

CALL_SECONDS_MAX = 120
KEYS_A_CALL_MAX = 1_000
"""AWS: DeleteObjects."""
EXISTS = {"PreconditionFailed", "412"}


class S3Store:
    """Objects of the configured zones."""

    def __init__(self, client: AwsClient) -> None:
        self._client = client

    async def put_new(self, uri: str, body: bytes) -> Stored:
        """Store, or describe what lies there already."""
        bucket, key = split_uri(uri)
        with aws_faults("s3", f"store an object in {bucket}"):
            async with asyncio.timeout(CALL_SECONDS_MAX):
                try:
                    answer = await self._client.put_object(Bucket=bucket, Key=key, Body=body, IfNoneMatch="*")
                except ClientError as wrong:
                    if code_of(wrong) not in EXISTS:
                        raise
                    found = await self._client.head_object(Bucket=bucket, Key=key)
                    return Stored(uri, found["ETag"].strip('"'), int(found["ContentLength"]))
        return Stored(uri, answer["ETag"].strip('"'), len(body), new=True)

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
        bucket, key = split_uri(uri)
        with aws_faults("s3", f"read an object in {bucket}"):
            async with asyncio.timeout(CALL_SECONDS_MAX):
                answer = await self._client.get_object(Bucket=bucket, Key=key)
                async with answer["Body"] as body:
                    return bytes(await body.read())

    async def remove(self, uris: Sequence[str]) -> None:
        """Delete; what is not there is no error. What one call leaves undone is told by the first of it."""
        keys: dict[str, list[str]] = {}
        for bucket, key in map(split_uri, uris):
            keys.setdefault(bucket, []).append(key)
        for bucket, found in keys.items():
            for start in range(0, len(found), KEYS_A_CALL_MAX):
                await self._delete(bucket, found[start : start + KEYS_A_CALL_MAX])

    async def _delete(self, bucket: str, keys: Sequence[str]) -> None:
        objects = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
        with aws_faults("s3", f"delete objects in {bucket}"):
            async with asyncio.timeout(CALL_SECONDS_MAX):
                answer = await self._client.delete_objects(Bucket=bucket, Delete=objects)
            for failed in answer.get("Errors", []):
                raise ClientError({"Error": {"Code": failed.get("Code", "")}}, "DeleteObjects")
