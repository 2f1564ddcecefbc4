"""A topic of a line's own, with a queue behind it in the place of people, and a proxy before it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import parse_qs

import aiohttp

from service.aws.sqs import queue_url
from service.local.ports import HOST
from service.local.redshift.session import cut
from tests.faults.calls import Answer, Call, CutError, Worker
from tests.faults.http_proxy import read_request, served
from tests.faults.line import Line

PASSED = ("authorization", "content-type", "x-amz-date", "x-amz-target")


@dataclass(frozen=True)
class Topic:
    """Where a worker tells people, and what they were told."""

    arn: str
    endpoint: str
    line: Line

    async def mails(self) -> list[str]:
        """The subjects of all that came, each once."""
        sqs = self.line.services.aws.sqs
        url = await queue_url(sqs, self.line.queue("mail"))
        given = await sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=600)
        return [json.loads(one["Body"])["Subject"] for one in given.get("Messages", [])]


@asynccontextmanager
async def topic(line: Line) -> AsyncIterator[Topic]:
    """Make it, and serve. Calls to it meet the line's rules, as those of the service `sns`."""
    aws = line.services.aws
    url = (await aws.sqs.create_queue(QueueName=line.queue("mail")))["QueueUrl"]
    wanted = await aws.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    arn = (await aws.sns.create_topic(Name=line.queue("alerts")))["TopicArn"]
    await aws.sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=wanted["Attributes"]["QueueArn"])
    async with aiohttp.ClientSession() as session, served(_Proxy(line, session).serve) as port:
        yield Topic(arn, f"http://{HOST}:{port}", line)


class _Proxy:
    def __init__(self, line: Line, session: aiohttp.ClientSession) -> None:
        self._line = line
        self._session = session

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        traffic = self._line.traffic
        while (request := await read_request(reader, writer)) is not None:
            operation = parse_qs(request.body.decode()).get("Action", [""])[0]
            call = Call(next(traffic.numbers), Worker("any"), "sns", operation, "", request)
            try:
                answer = await traffic.meet(call, self._forward)
            except CutError:
                cut(writer)
                return
            head = f"HTTP/1.1 {answer.status} -\r\nContent-Type: text/xml\r\nContent-Length: {len(answer.body)}\r\n\r\n"
            writer.write(head.encode() + answer.body)
            await writer.drain()
            traffic.told(call)

    async def _forward(self, call: Call) -> Answer:
        headers = {name: value for name, value in call.http.headers.items() if name in PASSED}
        asked = self._session.post(self._line.services.aws_endpoint, data=call.http.body, headers=headers)
        async with asked as response:
            answer = Answer(response.status, {}, await response.read())
        self._line.traffic.history.write("done", call.number, call.place, {"status": answer.status})
        return answer
