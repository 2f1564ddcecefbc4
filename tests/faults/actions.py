"""What can happen to a call. Those for both kinds of server first, then HTTP's, then the warehouse's."""

import asyncio
import json
import random
import re
import signal
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from service.local.redshift import wire
from tests.faults.calls import Action, Answer, Call, CutError, Forward, Pace, Request


async def reset(call: Call, forward: Forward) -> Any:
    """The connection breaks before the server hears of it."""
    raise CutError


async def drop(call: Call, forward: Forward) -> Any:
    """The server does it; the connection breaks before its answer arrives. The most valuable single fault."""
    await forward(call)
    raise CutError


async def hang(call: Call, forward: Forward) -> Any:
    """Nothing happens until the client leaves."""
    await asyncio.Event().wait()


async def kill_before(call: Call, forward: Forward) -> Any:
    """The worker dies when it has asked; the server never hears of it."""
    call.worker.strike(signal.SIGKILL)
    raise CutError


async def kill_after(call: Call, forward: Forward) -> Any:
    """The server does it; the worker dies before it hears so."""
    await forward(call)
    call.worker.strike(signal.SIGKILL)
    raise CutError


def signal_first(number: signal.Signals) -> Action:
    """The worker gets a signal while this call is under way."""

    async def act(call: Call, forward: Forward) -> Any:
        call.worker.strike(number)
        return await forward(call)

    return act


async def interrupt(call: Call, forward: Forward) -> Any:
    """Ctrl-C while this call is under way, which is never answered."""
    call.worker.strike(signal.SIGINT)
    return await hang(call, forward)


def delay(seconds: float) -> Action:
    """The call arrives late."""

    async def act(call: Call, forward: Forward) -> Any:
        await asyncio.sleep(seconds)
        return await forward(call)

    return act


def gate(opened: asyncio.Event) -> Action:
    """The call waits for the event; then it goes on as if nothing had been."""

    async def act(call: Call, forward: Forward) -> Any:
        await opened.wait()
        return await forward(call)

    return act


def sometimes(share: float, seed: int, action: Action) -> Action:
    """That action for a share of the calls; the others pass."""
    dice = random.Random(seed)

    async def act(call: Call, forward: Forward) -> Any:
        return await (action(call, forward) if dice.random() < share else forward(call))

    return act


def sqs_error(code: str, status: int) -> Action:
    """SQS refuses the call."""

    async def act(call: Call, forward: Forward) -> Any:
        body = json.dumps({"__type": f"com.amazonaws.sqs#{code}", "message": "on demand"}).encode()
        return Answer(status, {"Content-Type": "application/x-amz-json-1.0"}, body)

    return act


def s3_error(code: str, status: int) -> Action:
    """S3 refuses the call."""

    async def act(call: Call, forward: Forward) -> Any:
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>on demand</Message></Error>".encode()
        return Answer(status, {"Content-Type": "application/xml"}, b"" if call.http.method == "HEAD" else body)

    return act


def entries_fail(count: int) -> Action:
    """The first entries of a batch fail, senders' faults and others in turn; the server gets the rest only."""

    async def act(call: Call, forward: Forward) -> Any:
        given = call.json()
        refused, given["Entries"] = given["Entries"][:count], given["Entries"][count:]
        failed = [
            {"Id": one["Id"], "SenderFault": n % 2 == 1, "Code": "InternalError", "Message": "on demand"}
            for n, one in enumerate(refused)
        ]
        answered: dict[str, Any] = {}
        if given["Entries"]:
            answer = await forward(_with_body(call, given))
            answered = json.loads(answer.body)
        answered["Failed"] = [*answered.get("Failed", []), *failed]
        headers = {"Content-Type": "application/x-amz-json-1.0"}
        return Answer(200, headers, json.dumps({"Successful": [], **answered}).encode())

    return act


async def pretend(call: Call, forward: Forward) -> Any:
    """A batch call is answered with success, and has no effect (SQS: an extension of what has expired)."""
    done = {"Successful": [{"Id": one["Id"]} for one in call.json()["Entries"]]}
    return Answer(200, {"Content-Type": "application/x-amz-json-1.0"}, json.dumps(done).encode())


def short_visibility(seconds: int) -> Action:
    """What is received becomes visible again much sooner than the worker asked for."""

    async def act(call: Call, forward: Forward) -> Any:
        return await forward(_with_body(call, {**call.json(), "VisibilityTimeout": seconds}))

    return act


def repeated(seen: list[Answer]) -> Action:
    """The answer to an earlier receive once more: SQS delivers at least once, also after a deletion."""

    async def act(call: Call, forward: Forward) -> Any:
        return seen[0] if seen else await forward(call)

    return act


def keep(seen: list[Answer], wanted: Callable[[Answer], bool]) -> Action:
    """Pass on, and remember the first answer of that kind."""

    async def act(call: Call, forward: Forward) -> Any:
        answer = await forward(call)
        if not seen and wanted(answer):
            seen.append(answer)
        return answer

    return act


def paced(pace: Pace) -> Action:
    """The answer's body comes slowly, or stops on its way."""

    async def act(call: Call, forward: Forward) -> Any:
        return replace(await forward(call), pace=pace)

    return act


def answered_short(share: float) -> Action:
    """Only the front of the body arrives, and the answer looks whole."""

    async def act(call: Call, forward: Forward) -> Any:
        answer = await forward(call)
        return replace(answer, body=answer.body[: int(len(answer.body) * share)])

    return act


def stored_otherwise(alter: Callable[[bytes], bytes]) -> Action:
    """The server stores other bytes than were sent, and says that all is well."""

    async def act(call: Call, forward: Forward) -> Any:
        request = call.http
        lost = ("content-md5", "x-amz-checksum", "x-amz-sdk-checksum", "content-length")
        headers = {name: value for name, value in request.headers.items() if not name.startswith(lost)}
        changed = Request(request.method, request.path, headers, alter(request.body))
        return await forward(replace(call, request=changed))

    return act


def stored_earlier(seconds: float) -> Action:
    """A listing says that its objects are so much older than they are."""

    def earlier(found: re.Match[str]) -> str:
        moment = datetime.fromisoformat(found[1]) - timedelta(seconds=seconds)
        return f"<LastModified>{moment:%Y-%m-%dT%H:%M:%S}.000Z</LastModified>"

    async def act(call: Call, forward: Forward) -> Any:
        answer = await forward(call)
        text = re.sub(r"<LastModified>([^<]*)</LastModified>", earlier, answer.body.decode())
        return replace(answer, body=text.encode())

    return act


def sql_error(sqlstate: str, message: str) -> Action:
    """The warehouse refuses the statement, which it never saw. The connection goes on."""

    async def act(call: Call, forward: Forward) -> Any:
        values = {"S": "ERROR", "V": "ERROR", "C": sqlstate, "M": message}
        fields = b"".join(f"{code}{value}\0".encode() for code, value in values.items()) + b"\0"
        return wire.Message.of(b"E", fields).raw + wire.Message.of(b"Z", b"T").raw

    return act


def _with_body(call: Call, given: dict[str, Any]) -> Call:
    request = call.http
    headers = {name: value for name, value in request.headers.items() if name != "content-length"}
    return replace(call, request=Request(request.method, request.path, headers, json.dumps(given).encode()))
