"""The server did it, and the worker does not hear of it; or it hears of a part, or of the same twice."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from service.core.model import Attribute, Outgoing
from tests.faults.actions import (
    answered_short,
    drop,
    entries_fail,
    gate,
    keep,
    repeated,
    sqs_error,
)
from tests.faults.calls import Answer, Call, Forward
from tests.faults.checker import check
from tests.faults.events import loans
from tests.faults.history import chosen
from tests.faults.line import Line

pytestmark = [pytest.mark.stack, pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="session")]


async def test_lost_answer_to_commit_the_ledger_is_asked_before_a_second_copy(line: Line) -> None:
    lines = loans(150)
    await line.send(line.messages(lines, records_per_message=10))
    rule = line.rules.on("COMMIT", drop, target="COPY")
    program = await line.start()
    await line.idle()
    await check(line, lines, faults=[rule])
    history = line.history.read()
    committed = [uri for entry in chosen(history, "done", "COMMIT") for uri in entry.facts.get("uris", ())]
    assert len(committed) == len(set(committed)), "a file was committed twice"
    assert sum(one["known_files"] for one in program.said("group_loaded")) > 0


async def test_lost_answer_to_a_put_the_object_that_is_there_is_described(line: Line) -> None:
    lines = loans(150)
    await line.send(line.messages(lines, records_per_message=10))
    rules = [
        line.rules.on("PutObject", drop, target=target)
        for target in ("^acequia-raw/", r"^acequia-refined/.*\.parquet$", r"\.manifest$")
    ]
    program = await line.start()
    await line.idle()
    await check(line, lines, faults=rules)
    history = line.history.read()
    refused = [entry.target for entry in chosen(history, "done", "PutObject") if entry.facts["status"] == 412]
    assert len(refused) == 3
    assert set(refused) <= {entry.target for entry in chosen(history, "done", "HeadObject")}
    assert program.said("work_failed") == []


async def test_lost_answer_to_a_receive_the_messages_come_again(line: Line) -> None:
    lines = loans(200)
    await line.send(line.messages(lines, records_per_message=10))
    rule = line.rules.on("ReceiveMessage", drop, target="-records$", times=2)
    program = await line.start()
    await line.fired(rule)

    async def only_lost() -> bool:
        waiting, held = await line.depth("records")
        return waiting == 0 < held and sum(await line.depth("load")) + sum(await line.depth("refine")) == 0

    await line.until(only_lost)
    await line.expire(program, lost=True)
    await line.idle()
    await check(line, lines, faults=[rule])
    assert program.said("work_failed") == [], "no failure, only later"
    receives = chosen(line.history.read(), "done", "ReceiveMessage", "-records")
    assert max(message["count"] for entry in receives for message in entry.facts["messages"]) <= 3


async def test_deletions_that_fail_in_part_whole_and_unheard(line: Line) -> None:
    lines = loans(300)
    await line.send(line.messages(lines, records_per_message=10))
    rules = [
        line.rules.on("DeleteMessageBatch", action, target="-records$")
        for action in (entries_fail(3), sqs_error("ServiceUnavailable", 503), drop)
    ]
    program = await line.start(ACEQUIA_LAND_BATCH_SECONDS_MAX="1.2", ACEQUIA_VISIBILITY_SECONDS="63")

    async def three_left() -> bool:
        return await line.depth("records") == (0, 3) and await line.left() == 3

    await line.until(three_left)
    assert await line.rows() == 300
    await line.expire(program)
    await line.idle()
    await check(line, lines, faults=rules)
    failed = [one for one in program.said("settlement_failed") if one["action"] == "delete"]
    assert failed[0]["messages"] == 3 or sum(one["messages"] for one in failed) >= 3


async def refusal_broke_off(call: Call, forward: Forward) -> Any:
    """SQS takes nothing of a batch and says so, but half of that is lost on its way."""
    answer: Answer = await entries_fail(len(call.json()["Entries"]))(call, forward)
    return replace(answer, body=answer.body[: len(answer.body) // 2])


async def nothing_said(call: Call, forward: Forward) -> Any:
    """The server never hears of it, and the answer is 200 without a body."""
    return Answer(200, {"Content-Type": "application/x-amz-json-1.0"}, b"")


async def nobody_named(call: Call, forward: Forward) -> Any:
    """The server never hears of it, and the answer is 200 and names no entry."""
    return Answer(200, {"Content-Type": "application/x-amz-json-1.0"}, b"{}")


@pytest.mark.parametrize("queue", ["refine", "load"])
async def test_a_notice_is_sent_when_the_answer_says_so_and_not_before(line: Line, queue: str) -> None:
    lines = loans(100)
    rules = [
        line.rules.on("SendMessageBatch", action, target=f"-{queue}$")
        for action in (refusal_broke_off, nothing_said, nobody_named)
    ]
    await line.send(line.messages(lines, records_per_message=10))
    program = await line.start()
    await line.idle()
    await check(line, lines, faults=rules)
    assert len(program.said("work_failed")) == 3


async def test_dead_letters_are_sent_when_the_answer_says_so_and_not_before(line: Line) -> None:
    lines = loans(50)
    strangers = [Outgoing(str(number), {"dataset": Attribute("String", "nobodys")}) for number in range(12)]
    rules = [
        line.rules.on("SendMessageBatch", action, target="-records-dlq$")
        for action in (refusal_broke_off, nothing_said, nobody_named)
    ]
    await line.send([*line.messages(lines, records_per_message=10), *strangers])
    await line.start()
    await line.idle()
    await check(line, lines, faults=rules, codes={"unknown_dataset": 12})


async def test_deletions_are_done_when_the_answer_says_so_and_not_before(line: Line) -> None:
    lines = loans(100)
    rules = [
        line.rules.on("DeleteMessageBatch", action, target="-records$")
        for action in (refusal_broke_off, nothing_said, answered_short(0.5))
    ]
    await line.send(line.messages(lines, records_per_message=10))
    program = await line.start()
    await line.idle()
    await check(line, lines, faults=rules)
    failed = [one for one in program.said("settlement_failed") if one["action"] == "delete"]
    assert sum(one["messages"] for one in failed) >= 2
    assert len(list(chosen(line.history.read(), "done", "PutObject", "acequia-raw/"))) == 1, "nothing was landed again"


async def test_a_receive_whose_answer_broke_off_is_no_empty_queue(line: Line) -> None:
    lines = loans(100)
    rule = line.rules.on("ReceiveMessage", answered_short(0.5), target="-records$")
    await line.send(line.messages(lines, records_per_message=10))
    program = await line.start()
    await line.fired(rule)
    told = await program.until("work_failed")
    assert "an answer broke off" in told["reason"]
    await line.expire(program)
    await line.idle()
    await check(line, lines, faults=[rule])


async def test_dead_letters_that_are_sent_in_part(line: Line) -> None:
    lines = loans(50)
    # Twelve times 150 kB: a batch of ten would be above SQS's 1 MiB.
    bodies = [f"{number:06d}" + "x" * 150_000 for number in range(12)]
    attributes = {"dataset": Attribute("String", "nobodys")}
    await line.send([*line.messages(lines, records_per_message=10), *(Outgoing(body, attributes) for body in bodies)])
    rules = [
        line.rules.on("SendMessageBatch", entries_fail(1), target="-records-dlq$"),
        line.rules.on("SendMessageBatch", entries_fail(2), target="-records-dlq$"),
        line.rules.on("SendMessageBatch", sqs_error("ServiceUnavailable", 503), target="-records-dlq$", times=3),
    ]
    await line.start()
    await line.idle()
    stores = await check(line, lines, faults=rules, codes={"unknown_dataset": 12})
    originals = {json.loads(letter.body)["original"]["body"] for letter in stores.letters}
    assert originals == set(bodies), "byte for byte"
    sends = list(chosen(line.history.read(), "asked", "SendMessageBatch", "-records-dlq"))
    assert max(entry.facts["bytes"] for entry in sends) <= 1024 * 1024


async def test_one_message_for_two_workers_and_once_more_after_its_deletion(line: Line) -> None:
    lines = loans(100)
    seen: list[Answer] = []
    opened = asyncio.Event()
    kept = line.rules.on("ReceiveMessage", keep(seen, _has_messages), target="-records$", worker="worker-1", times=None)
    held = line.rules.on("PutObject", gate(opened), target="^acequia-raw/", worker="worker-1")
    await line.send(line.messages(lines, records_per_message=10))  # ten, which one receive takes
    await line.start(ACEQUIA_LAYERS="land,refine")
    await line.fired(held)
    again = line.rules.on("ReceiveMessage", repeated(seen), target="-records$", worker="worker-2")
    second = await line.start(ACEQUIA_LAYERS="land,refine")
    await second.until("file_landed")
    opened.set()

    async def all_refined() -> bool:
        return [sum(await line.depth(queue)) for queue in ("records", "refine", "load")] == [0, 0, 2]

    await line.until(all_refined)
    # Both copies are in one COPY, so that they are told apart there; the third one meets what the table has.
    await line.start(ACEQUIA_LAYERS="load")
    await line.idle()
    assert await line.rows() == 100
    assert len(list(chosen(line.history.read(), "asked", "COPY"))) == 1
    later = line.rules.on("ReceiveMessage", repeated(seen), target="-records$", worker="worker-2")
    await second.until("file_landed", count=2)
    kept.lift()

    async def loaded_thrice() -> bool:
        return int((await line.ask("SELECT SUM(row_count) FROM {ledger}"))[0][0]) == 300

    await line.until(loaded_thrice)
    await line.idle()
    stores = await check(line, lines, faults=[held, again, later])
    assert sum(row.duplicate for row in stores.ledger.values()) == 200


def _has_messages(answer: Answer) -> bool:
    return answer.status == 200 and b'"Messages"' in answer.body and b'"MessageId"' in answer.body
