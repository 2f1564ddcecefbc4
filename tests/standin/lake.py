"""What the tests of the stand-in put on S3, and what they ask of a connection."""

import io
import itertools
import json
from dataclasses import dataclass
from typing import Any

import asyncpg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.aws.clients import AwsClient
from service.local.postgres import Postgres

BUCKET = "lake"
Entry = dict[str, Any]


@dataclass(frozen=True)
class Stack:
    dsn: str
    warehouse: Postgres
    s3_endpoint: str


class Lake:
    """Writes Parquet files and manifests for COPY."""

    def __init__(self, client: AwsClient) -> None:
        self._client = client
        self._numbers = itertools.count()

    async def file(self, columns: dict[str, Any] | Any, *, mandatory: bool = True) -> Entry:
        """Store a Parquet file and give its manifest entry."""
        table = pa.table(columns) if isinstance(columns, dict) else columns
        sink = io.BytesIO()
        pq.write_table(table, sink)
        return await self.object(sink.getvalue(), mandatory=mandatory)

    async def object(self, content: bytes, *, mandatory: bool = True) -> Entry:
        key = f"refined/dt=2026-11-22/{next(self._numbers)}.parquet"
        await self._client.put_object(Bucket=BUCKET, Key=key, Body=content)
        return entry(key, len(content), mandatory=mandatory)

    async def manifest(self, *entries: Entry) -> str:
        """Store a manifest and give its uri."""
        key = f"manifests/{next(self._numbers)}.manifest"
        await self._client.put_object(Bucket=BUCKET, Key=key, Body=json.dumps({"entries": entries}).encode())
        return f"s3://{BUCKET}/{key}"

    async def stored(self, prefix: str) -> dict[str, bytes]:
        """The objects below a prefix."""
        listed = await self._client.list_objects_v2(Bucket=BUCKET, Prefix=prefix)
        found = {}
        for key in (str(each["Key"]) for each in listed.get("Contents", [])):
            response = await self._client.get_object(Bucket=BUCKET, Key=key)
            async with response["Body"] as body:
                found[key] = await body.read()
        return found

    async def copy(self, target: str, *entries: Entry, options: str = "") -> str:
        """A COPY of these files into `target`."""
        uri = await self.manifest(*entries)
        return f"COPY {target} FROM '{uri}' IAM_ROLE 'arn:aws:iam::0:role/load' FORMAT AS PARQUET MANIFEST {options}"


def entry(key: str, size_bytes: int, *, mandatory: bool = True) -> Entry:
    return {"url": f"s3://{BUCKET}/{key}", "mandatory": mandatory, "meta": {"content_length": size_bytes}}


async def row(connection: asyncpg.Connection, sql: str) -> tuple[Any, ...]:
    """The only row of a query."""
    (found,) = await connection.fetch(sql)
    return tuple(found)


async def count(connection: asyncpg.Connection, table: str) -> int:
    return int(await connection.fetchval(f"SELECT count(*) FROM {table}"))


@dataclass(frozen=True)
class Refused:
    sqlstate: str
    message: str
    detail: str
    fields: str


async def refused(connection: asyncpg.Connection, sql: str, *arguments: Any) -> Refused:
    """How the server refuses a statement; fails if it does not."""
    with pytest.raises(asyncpg.PostgresError) as raised:
        await connection.execute(sql, *arguments)
    error = raised.value
    return Refused(str(error.sqlstate), str(error.message), str(error.detail or ""), str(error.as_dict()))
