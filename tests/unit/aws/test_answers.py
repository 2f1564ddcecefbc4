"""What becomes of answers of SQS that broke off, say nothing, or are none of SQS's."""

from collections.abc import Callable, Coroutine
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from service.aws.sqs import SqsQueue, queue_url
from service.core.errors import TransientError
from service.core.model import Outgoing
from tests.faults.rules import Rules
from tests.unit.aws.wire import NOWHERE, behind, proxied, says

CALLS: dict[str, Callable[[SqsQueue], Coroutine[Any, Any, Any]]] = {
    "receive": lambda queue: queue.receive(wait_seconds=0, visibility_seconds=60),
    "send": lambda queue: queue.send([Outgoing("x")]),
    "delete": lambda queue: queue.delete(["x", "y"]),
    "hide": lambda queue: queue.hide(["x", "y"], 0),
    "depth": lambda queue: queue.depth(),
}
NO_ANSWERS = [
    b'{"Messages": [{"MessageId": "1", "Body": "\xc3',
    b'{"Messages": [{"MessageId": "1", "MessageAttributes": {"a": {}}',
    b'{"Successful": [{"Id": "0"}',
    b'{"Attributes": {"ApproximateNumberOfMessages": "3"',
    b"<html><body>a proxy's own page</body></html>",
    b"[]",
    b"null",
]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("body", NO_ANSWERS, ids=repr)
async def test_a_body_that_broke_off_or_is_none_of_sqs_is_no_answer(tmp_path: Path, call: str, body: bytes) -> None:
    async with behind(says(body), tmp_path) as queue:
        with pytest.raises(TransientError, match="broke off"):
            await CALLS[call](queue)


@pytest.mark.parametrize("body", [b"[]", b"\xff", b"null"], ids=repr)
async def test_a_refusal_whose_body_is_none_of_sqs_is_told_by_its_status(tmp_path: Path, body: bytes) -> None:
    async with behind(says(body, HTTPStatus.UNPROCESSABLE_ENTITY), tmp_path) as queue:
        with pytest.raises(TransientError, match="422"):
            await queue.send([Outgoing("x")])


@pytest.mark.parametrize("body", [b"", b"{}", b'{"Successful": [], "Failed": []}'], ids=repr)
async def test_what_an_answer_does_not_name_as_done_is_not_done(tmp_path: Path, body: bytes) -> None:
    async with behind(says(body), tmp_path) as queue:
        with pytest.raises(TransientError, match="did not take 1 messages"):
            await queue.send([Outgoing("x")])
        assert await queue.delete(["x", "y"]) == ["x", "y"]
        assert await queue.hide(["x", "y"], 0) == ["x", "y"]
        with pytest.raises(TransientError, match="does not tell its depth"):
            await queue.depth()


@pytest.mark.parametrize("body", [b"", b"{}", b'{"Messages": null}', b'{"Messages": []}'], ids=repr)
async def test_as_sqs_answers_for_an_empty_queue_nothing_is_received(tmp_path: Path, body: bytes) -> None:
    async with behind(says(body), tmp_path) as queue:
        assert await queue.receive(wait_seconds=0, visibility_seconds=60) == []


@pytest.mark.parametrize(
    ("body", "left"),
    [
        (b'{"Successful": [{"Id": "1"}]}', ["x", "z"]),
        (b'{"Successful": [{"Id": "0"}, {"Id": "2"}], "Failed": [{"Id": "1", "Code": "InternalError"}]}', ["y"]),
        (b'{"Successful": [{"Id": "0"}, {"Id": "1"}, {"Id": "2"}], "Failed": [{"Id": "2"}]}', ["z"]),
    ],
    ids=["named in part", "failed in part", "both"],
)
async def test_each_entrys_fate_is_what_the_answer_says_of_it(tmp_path: Path, body: bytes, left: list[str]) -> None:
    async with behind(says(body), tmp_path) as queue:
        assert await queue.delete(["x", "y", "z"]) == left
        assert await queue.hide(["x", "y", "z"], 0) == left
        with pytest.raises(TransientError, match=f"did not take {len(left)} messages"):
            await queue.send([Outgoing(text) for text in "xyz"])


@pytest.mark.parametrize("body", [b"", b"{}"], ids=repr)
async def test_an_address_that_is_not_told_is_no_address(tmp_path: Path, body: bytes) -> None:
    rules = Rules()
    rules.on("GetQueueUrl", says(body))
    async with proxied(rules, tmp_path, NOWHERE) as (clients, _):
        with pytest.raises(TransientError, match="the queue records does not tell its address"):
            await queue_url(clients.sqs, "records")
