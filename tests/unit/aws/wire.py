"""SQS as the wire shows it: queues on the service's own clients, with answers that no server would give."""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import Any

from service.aws.clients import Clients
from service.aws.sqs import SqsQueue
from tests.contract.places import clients_of, sqs_queue
from tests.faults.calls import Action, Answer, Call, Forward, Worker
from tests.faults.history import History
from tests.faults.http_proxy import Traffic, http_proxy
from tests.faults.rules import Rules

NOWHERE = "http://nowhere.invalid"


@asynccontextmanager
async def behind(
    act: Action, directory: Path, *, endpoint: str = NOWHERE, name: str = "records"
) -> AsyncIterator[SqsQueue]:
    """A queue every call to which meets that; by itself there is nothing behind it."""
    rules = Rules()
    rules.on("", act, times=None)
    async with proxied(rules, directory, endpoint) as (clients, proxy):
        yield sqs_queue(name, f"{proxy}/000000000000/{name}", clients)


@asynccontextmanager
async def proxied(rules: Rules, directory: Path, endpoint: str) -> AsyncIterator[tuple[Clients, str]]:
    """The service's clients before a proxy that keeps these rules, and the proxy's address."""
    with closing(History(directory / "history")) as history:
        traffic = Traffic(history, rules, itertools.count(1), set())
        async with http_proxy("sqs", Worker("contract"), traffic, endpoint) as proxy, clients_of(proxy) as clients:
            yield clients, proxy


def says(body: bytes, status: int = HTTPStatus.OK) -> Action:
    """An answer that nothing has done anything for."""

    async def act(call: Call, forward: Forward) -> Any:
        return Answer(status, {"Content-Type": "application/x-amz-json-1.0"}, body)

    return act


def broken_off(action: Action) -> Action:
    """Half of an answer arrives, and looks whole."""

    async def act(call: Call, forward: Forward) -> Any:
        answer = await action(call, forward)
        return replace(answer, body=answer.body[: len(answer.body) // 2])

    return act
