"""The loan events end in the warehouse exactly: in one run, again, and with the worker killed in the middle."""

import asyncio
import contextlib
import gzip
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import asyncpg
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from service.aws.redshift import read_as_text
from service.aws.sqs import queue_url
from service.local.feed import messages, read_lines
from service.local.provision import RECORDS, LocalAws, open_aws
from tests.stack.conftest import Program, Starter

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]

ROWS, APPLICATIONS = 262_200, 13_087
QUEUES = ("acequia-records", "acequia-refine", "acequia-load")
DSN = re.compile(r"postgresql://\S+")


async def test_one_run_ends_with_the_exact_figures(start: Starter, loan_file: Path) -> None:
    program = start("local", "--input", str(loan_file), "--dataset", "loan_events", "--stay")
    program.until("Everything keeps running")
    await _check_warehouse(_dsn(program), loan_file)
    _check_parquet(start.directory / ".acequia")
    assert program.interrupt() == 130


async def test_a_worker_killed_in_the_middle_and_started_again_ends_with_the_same_figures(
    start: Starter, loan_file: Path
) -> None:
    stack = start("local", "--stack-only", "--env-file", "stack.env")
    stack.until("keep running")
    environment = dict(line.split("=", 1) for line in (start.directory / "stack.env").read_text().splitlines())
    async with open_aws(environment["AWS_ENDPOINT_URL"]) as aws, _rows(environment["ACEQUIA_WAREHOUSE_DSN"]) as rows:
        await _feed_all(aws, loan_file)
        small = {"ACEQUIA_LAND_BATCH_RECORDS_MAX": "25", "ACEQUIA_LOAD_BATCH_FILES_MAX": "20"}
        first = start("run", **{**environment, **small})
        while await rows() == 0:  # noqa: ASYNC110 (another process)
            await asyncio.sleep(0.05)
        first.process.kill()
        first.finish()
        unfinished = await _depths(aws)
        assert sum(unfinished.values()) > 0, "killed too late: nothing was left to do"
        assert 0 < await rows() < ROWS
        assert 0 < await rows() < ROWS
        second = start("run", **environment)
        while sum((await _depths(aws)).values()):  # noqa: ASYNC110
            await asyncio.sleep(0.5)
        second.process.terminate()
        assert second.finish() == 0, second.text[-2_000:]
        for name in QUEUES:
            assert await _depth(aws, f"{name}-dlq") == 0
    await _check_warehouse(environment["ACEQUIA_WAREHOUSE_DSN"], loan_file)
    assert stack.interrupt() == 130


def _dsn(program: Program) -> str:
    found = DSN.search(program.text)
    assert found is not None
    return found[0]


def _times(path: Path) -> tuple[datetime, datetime, Decimal]:
    """The earliest, the latest and the sum of all times in UTC, counted from the file by other means."""
    with gzip.open(path, "rt") as file:
        moments = [datetime.fromisoformat(json.loads(line)["timestamp"]).astimezone(UTC) for line in file]
    milliseconds = sum(round(moment.timestamp() * 1000) for moment in moments)
    first, last = (moment.replace(tzinfo=None) for moment in (min(moments), max(moments)))
    return first, last, Decimal(milliseconds) / 1000


async def _check_warehouse(dsn: str, path: Path) -> None:
    connection = await asyncpg.connect(dsn)
    await read_as_text(connection)
    try:
        row = await connection.fetchrow(
            "SELECT COUNT(*), COUNT(DISTINCT event_id), COUNT(DISTINCT application_id), COUNT(DISTINCT _record_id) "
            "FROM lake.loan_events"
        )
        assert row is not None
        assert tuple(row) == (ROWS, ROWS, APPLICATIONS, ROWS)
        ledger = await connection.fetchrow(
            "SELECT SUM(inserted), SUM(row_count - inserted - duplicate) FROM acequia.load_ledger"
        )
        assert ledger is not None
        assert (int(ledger[0]), int(ledger[1])) == (ROWS, 0)
        sums = await connection.fetchrow(
            "SELECT MIN(event_time), MAX(event_time), SUM(EXTRACT(EPOCH FROM event_time)) FROM lake.loan_events"
        )
        assert sums is not None
        assert (sums[0], sums[1], sums[2]) == _times(path)
        kept = await connection.fetchval(
            "SELECT COUNT(*) FROM lake.loan_events WHERE step LIKE 'W%' "
            "AND JSON_EXTRACT_PATH_TEXT(JSON_SERIALIZE(rest), 'work_item', 'queue') <> ''"
        )
        expected = await connection.fetchval("SELECT COUNT(*) FROM lake.loan_events WHERE step LIKE 'W%'")
        assert kept == expected > 0
    finally:
        await connection.close()


def _check_parquet(directory: Path) -> None:
    files = sorted(directory.rglob("acequia-refined/loan_events/dt=*/*.parquet"))
    assert len({file.parent.name for file in files}) > 150
    tables = {file: pq.read_table(file, partitioning=None) for file in files}
    assert sum(table.num_rows for table in tables.values()) == ROWS
    for file, table in tables.items():
        days = pc.unique(pc.strftime(table.column("event_time"), "%Y-%m-%d")).to_pylist()
        assert [f"dt={day}" for day in days] == [file.parent.name]


async def _feed_all(aws: LocalAws, path: Path) -> None:
    """All events in messages of 500, so that the emulator holds them at once."""
    queue = await aws.queue(RECORDS)
    source = messages(read_lines(path), dataset="loan_events", records_per_message=500)
    await queue.send([message for message, _ in source])


async def _depth(aws: LocalAws, name: str) -> int:
    answer = await aws.sqs.get_queue_attributes(QueueUrl=await queue_url(aws.sqs, name), AttributeNames=["All"])
    given = answer["Attributes"]
    return int(given["ApproximateNumberOfMessages"]) + int(given["ApproximateNumberOfMessagesNotVisible"])


async def _depths(aws: LocalAws) -> dict[str, int]:
    return {name: await _depth(aws, name) for name in QUEUES}


@contextlib.asynccontextmanager
async def _rows(dsn: str) -> AsyncIterator[Callable[[], Awaitable[int]]]:
    connection = await asyncpg.connect(dsn)
    await read_as_text(connection)

    async def count() -> int:
        return int(await connection.fetchval("SELECT COUNT(*) FROM lake.loan_events"))

    try:
        yield count
    finally:
        await connection.close()
