"""A task's credentials endpoint, as ECS has one: what it gives is about to expire, so that every call asks again."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from service.local.ports import HOST
from service.local.redshift.session import cut
from tests.faults.calls import Call, CutError, Worker
from tests.faults.http_proxy import read_request, served
from tests.faults.line import Line

LIVES_SECONDS = 30


@asynccontextmanager
async def credentials(line: Line) -> AsyncIterator[str]:
    """Serve; gives the address for AWS_CONTAINER_CREDENTIALS_FULL_URI. Its calls meet the line's rules."""

    async def answered(_: Call) -> bytes:
        expires = datetime.now(UTC) + timedelta(seconds=LIVES_SECONDS)
        given = {"AccessKeyId": "local", "SecretAccessKey": "local", "Token": "t"}
        return json.dumps({**given, "Expiration": f"{expires:%Y-%m-%dT%H:%M:%SZ}"}).encode()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (request := await read_request(reader, writer)) is not None:
            number = next(line.traffic.numbers)
            call = Call(number, Worker("any"), "credentials", "GetCredentials", "", request)
            try:
                body = await line.traffic.meet(call, answered)
            except CutError:
                cut(writer)
                return
            head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
            await writer.drain()
            line.traffic.told(call)

    async with served(serve) as port:
        yield f"http://{HOST}:{port}/credentials"
