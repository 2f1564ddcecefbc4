"""A dependency is away, throttles or refuses: no record is to blame, and everything arrives afterwards."""

import asyncio

import pytest

from tests.faults.actions import reset, s3_error, sometimes, sql_error
from tests.faults.checker import check
from tests.faults.credentials import credentials
from tests.faults.events import loans, within_days
from tests.faults.history import chosen
from tests.faults.line import Line

pytestmark = [pytest.mark.stack, pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="session")]

CUT_SECONDS = 2
"""Twice the longest wait between two tries, ACEQUIA_RETRY_SECONDS_MAX."""


async def test_sqs_then_s3_then_the_warehouse_are_cut_off(line: Line) -> None:
    lines = within_days(loans(600), 3)
    program = await line.start()
    rules = []
    for number, service in enumerate(("sqs", "s3", "warehouse")):
        rule = line.rules.on("", reset, service=service, times=None)
        rules.append(rule)
        await line.send(line.messages(lines[number * 200 :][:200], records_per_message=10))
        await line.fired(rule)
        await line.until(program.paused)
        await asyncio.sleep(CUT_SECONDS)  # the outage itself
        assert await line.left() > 0
        landed = sum(one["messages"] for one in program.said("file_landed"))
        assert landed == {"sqs": 0, "s3": 20, "warehouse": 60}[service], "what needs it not goes on"
        rule.lift()
        await line.idle()
    await check(line, lines, faults=rules)
    counted = await program.metrics()
    assert counted["acequia_messages_landed_total"] == 60
    assert counted["acequia_records_refined_total"] == counted["acequia_rows_inserted_total"] == 600
    assert await program.drained() == 0


async def test_credentials_cannot_be_renewed(line: Line) -> None:
    lines = loans(200)
    async with credentials(line) as url:
        cut = line.rules.on("GetCredentials", reset, skip=1, times=None)
        changed = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": url, "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
        program = await line.begin(**changed)
        await line.send(line.messages(lines, records_per_message=10))
        await line.fired(cut)
        await asyncio.sleep(CUT_SECONDS)  # the outage itself
        assert program.process.poll() is None
        cut.lift()
        await line.idle()
        await check(line, lines, faults=[cut])


async def test_a_storm_of_slow_down_is_not_answered_with_a_storm(line: Line) -> None:
    lines = within_days(loans(400), 3)
    program = await line.start(ACEQUIA_LAND_BATCH_RECORDS_MAX="5")
    storm = line.rules.on("", s3_error("SlowDown", 503), service="s3", times=None)
    await line.send(line.messages(lines, records_per_message=10))
    await line.fired(storm)
    await asyncio.sleep(CUT_SECONDS)  # all four batches that are worked on side by side have failed by now
    before = _puts(line)
    await asyncio.sleep(2 * CUT_SECONDS)  # the storm itself
    asked = _puts(line) - before
    assert await line.rows() == 0
    keys = line.rules.on("PutObject", s3_error("KMS.ThrottlingException", 400), times=2)
    weaker = line.rules.on("", sometimes(0.3, 7, s3_error("SlowDown", 503)), service="s3", times=None)
    storm.lift()
    await line.idle()
    weaker.lift()
    await check(line, lines, faults=[storm, keys, weaker])
    # One of the four tries for all: three attempts of the SDK, then half a second to a second of waiting.
    assert 0 < asked <= 3 * 2 * CUT_SECONDS, f"{asked} calls in the storm"
    assert await program.drained() == 0


def _puts(line: Line) -> int:
    return len(list(chosen(line.history.read(), "asked", "PutObject")))


async def test_the_warehouse_refuses_in_every_way_that_is_not_the_datas_fault(line: Line) -> None:
    lines = loans(200)
    ways = [
        ("CONNECT", "28P01", "password authentication failed for user"),
        ("CONNECT", "57P03", "the cluster is being resized"),
        ("LOCK", "40P01", "deadlock detected"),
        ("COPY", "57014", "Query (1) cancelled on user's request"),
        ("COPY", "XX000", "S3ServiceException:Access Denied,Status 403"),
        ("INSERT", "XX000", "1023"),
        ("COMMIT", "XX000", "1023"),
    ]
    await line.send(line.messages(lines, records_per_message=10))
    rules = [
        line.rules.on(operation, sql_error(state, message), service="warehouse", target=_of_load(operation))
        for operation, state, message in ways
    ]
    program = await line.start()
    await line.idle()
    await check(line, lines, faults=rules)
    assert {one["kind"] for one in program.said("work_failed")} == {"setup", "transient"}
    puts = {entry.target for entry in chosen(line.history.read(), "done", "PutObject", ".manifest")}
    assert len(puts) == 1, "the same group again and again, never parts of it"
    receives = chosen(line.history.read(), "done", "ReceiveMessage")
    assert max(message["count"] for entry in receives for message in entry.facts["messages"]) == 1


def _of_load(operation: str) -> str:
    return "COPY" if operation in ("COMMIT", "COPY") else ""
