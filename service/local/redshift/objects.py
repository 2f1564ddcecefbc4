"""Objects on the S3 endpoint, as COPY reads them."""

import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from urllib.parse import quote

import aiohttp
from aiobotocore.response import StreamingBody
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, ClientError

from service.aws.clients import AwsClient
from service.local.redshift.refusals import OWN_LIMIT, ScanError

REGION = "us-east-1"
CHUNK_BYTES = 1024 * 1024

_CREDENTIALS = "stand-in"
_MISSING = frozenset({"NoSuchKey", "NoSuchBucket", "404"})
_UNREACHABLE = (BotoCoreError, aiohttp.ClientError, OSError)
_CODE_SOURCE = 15001


@dataclass(frozen=True)
class Location:
    """Where an object lies."""

    bucket: str
    key: str

    @classmethod
    def of(cls, uri: str) -> "Location":
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        return cls(bucket, key)

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    @property
    def shown(self) -> str:
        """The location as Redshift's messages show it."""
        return f"https://s3.{REGION}.amazonaws.com/{self.bucket}/{quote(self.key)}"


@dataclass(frozen=True)
class OpenObject:
    size_bytes: int
    chunks: AsyncIterator[bytes]


class Objects:
    """Opens objects. Safe for use by many sessions at once."""

    def __init__(self, client: AwsClient) -> None:
        self._client = client

    @contextlib.asynccontextmanager
    async def opened(self, location: Location) -> AsyncIterator[OpenObject | None]:
        """The object's size and content, None if there is no such object. Raises ScanError if S3 fails."""
        async with contextlib.AsyncExitStack() as stack:
            try:
                response = await self._client.get_object(Bucket=location.bucket, Key=location.key)
                body = await stack.enter_async_context(response["Body"])
            except ClientError as error:
                code = error.response.get("Error", {}).get("Code", "")
                if code not in _MISSING:
                    raise _failed(location, code) from None
                yield None
                return
            except _UNREACHABLE as error:
                raise _failed(location, type(error).__name__) from None
            yield OpenObject(response["ContentLength"], _chunks(body, location))

    async def put(self, location: Location, content: bytes) -> None:
        """Raises ScanError."""
        with _failures(location):
            await self._client.put_object(Bucket=location.bucket, Key=location.key, Body=content)

    async def remove(self, location: Location) -> None:
        """Raises ScanError."""
        with _failures(location):
            await self._client.delete_object(Bucket=location.bucket, Key=location.key)

    async def below(self, prefix: Location) -> list[Location]:
        """The objects whose keys begin with the prefix's, at most a thousand. Raises ScanError."""
        with _failures(prefix):
            listed = await self._client.list_objects_v2(Bucket=prefix.bucket, Prefix=prefix.key)
        return [Location(prefix.bucket, str(found["Key"])) for found in listed.get("Contents", [])]


@contextlib.contextmanager
def _failures(location: Location) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        raise _failed(location, error.response.get("Error", {}).get("Code", "")) from None
    except _UNREACHABLE as error:
        raise _failed(location, type(error).__name__) from None


async def _chunks(body: StreamingBody, location: Location) -> AsyncIterator[bytes]:
    try:
        async for chunk in body.iter_chunks(CHUNK_BYTES):
            yield chunk
    except _UNREACHABLE as error:
        raise _failed(location, type(error).__name__) from None


@contextlib.asynccontextmanager
async def opened_objects(endpoint: str) -> AsyncIterator[Objects]:
    async with get_session().create_client(
        "s3",
        region_name=REGION,
        endpoint_url=endpoint,
        aws_access_key_id=_CREDENTIALS,
        aws_secret_access_key=_CREDENTIALS,
    ) as client:
        yield Objects(client)


def _failed(location: Location, reason: str) -> ScanError:
    return ScanError(_CODE_SOURCE, f"{OWN_LIMIT} S3 refused: {reason}, File name: {location.shown}")
