"""Group commit against one COPY a file: 2,000 small files arrive over a minute, the table must end the same.

    .venv/bin/python -m bench.load [--seconds 60]

Runs the real load layer (`acequia run`, ACEQUIA_LAYERS=load) against the one-machine stack, once with its defaults for
a group and once with groups of one file. Prints COPYs, files per COPY, COPYs per minute, and how long after the last
file the table was complete. The stand-in's COPY costs milliseconds where Redshift's costs about a second, so the
figures show how many COPYs there are, not how long a real warehouse would take for them.
"""

import argparse
import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import asyncpg
from rich.console import Console
from rich.table import Table

from service.aws.redshift import read_as_text
from service.aws.s3 import S3Store
from service.core.clock import SystemClock
from service.core.definitions import load_datasets
from service.core.model import Message, Outgoing
from service.core.notice import File, FileNotice
from service.core.zones import Zone, raw_key, refined_key
from service.land.encode import encode
from service.local.provision import LOAD, LocalAws, open_aws
from service.local.samples.loans import loan_events
from service.local.stack import Stack, backing_services
from service.refine.compile import compile_dataset
from service.refine.execute import Keys, judge
from service.refine.write import parts
from service.settings import PROJECT

DATASET = "loan_events"
RAW_FILES = 12
FILES = 2_000
KEYS = Keys(b"k" * 32, b"m" * 32)
MEMORY_BYTES = 1024**3
LOOK_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Outcome:
    """One way of loading."""

    name: str
    copies: int
    seconds: float
    lag_seconds: float
    content: tuple[int, int, str]


async def main(seconds: float) -> int:
    """Make the files once, load them twice, compare."""
    datasets = load_datasets(PROJECT / "datasets")
    with tempfile.TemporaryDirectory(prefix="acequia-bench-") as directory:
        async with (
            backing_services(
                Path(directory) / "stack",
                sql=PROJECT / "sql",
                datasets=datasets,
                datasets_directory=PROJECT / "datasets",
            ) as stack,
            open_aws(stack.aws_endpoint) as aws,
        ):
            notices = await _made(aws)
            grouped = await _load("group commit", stack, aws, notices, seconds, {})
            single = await _load("one COPY a file", stack, aws, notices, seconds, {"ACEQUIA_LOAD_BATCH_FILES_MAX": "1"})
    _show([grouped, single])
    return 0 if grouped.content == single.content else 1


async def _made(aws: LocalAws) -> list[FileNotice]:
    """Many small refined files, as refine would write them: each raw file holds events of every day."""
    program = compile_dataset(load_datasets(PROJECT / "datasets")[DATASET])
    events, _ = loan_events()
    lines, moment, store = list(events), datetime(2026, 1, 1, tzinfo=UTC), S3Store(aws.s3)
    raw, refined = Zone("raw", "acequia-raw", ""), Zone("refined", "acequia-refined", "")
    notices: list[FileNotice] = []
    for number in range(RAW_FILES):
        batch_id = f"20260101T{number:09d}Z-{number:016x}"
        body = "\n".join(lines[number::RAW_FILES])
        message = Message(f"m{number}", body, {}, moment, moment, 1, "")
        uri = raw.uri(raw_key(DATASET, moment, batch_id))
        judged = judge(encode([message], "bench"), uri, program, KEYS, MEMORY_BYTES)
        for part in parts(judged.good, program.dataset.event_time):
            key = refined_key(DATASET, part.partition, batch_id, program.dataset.definition)
            stored = await store.put_new(refined.uri(key), part.body)
            file = File(stored.uri, stored.etag, stored.content_length_bytes, part.rows, part.event_time_min)
            columns, definition = program.dataset.stored_columns, program.dataset.definition
            notices.append(FileNotice(DATASET, "refined", [file], columns, batch_id, definition, moment))
    return list(islice(notices, FILES))


async def _load(
    name: str, stack: Stack, aws: LocalAws, notices: Sequence[FileNotice], seconds: float, changed: dict[str, str]
) -> Outcome:
    queue = await aws.queue(LOAD)
    warehouse = await asyncpg.connect(stack.warehouse_dsn, statement_cache_size=0)
    await read_as_text(warehouse)
    clock = SystemClock()
    try:
        await warehouse.execute(f"DELETE FROM lake.{DATASET}")
        await warehouse.execute(f"DELETE FROM acequia.load_ledger_{DATASET}")
        async with _worker({**stack.environment, "ACEQUIA_LAYERS": "load", **changed}):
            began = clock.monotonic()
            for number in range(0, len(notices), 10):
                await queue.send([Outgoing(notice.to_json()) for notice in notices[number : number + 10]])
                due = began + seconds * (number + 10) / len(notices)
                await clock.sleep(max(0.0, due - clock.monotonic()))
            sent = clock.monotonic()
            count = f"SELECT COUNT(*) FROM acequia.load_ledger_{DATASET}"
            while await warehouse.fetchval(count) < len(notices):
                await clock.sleep(LOOK_SECONDS)
            ended = clock.monotonic()
        copies = await warehouse.fetchval(f"SELECT COUNT(DISTINCT group_id) FROM acequia.load_ledger_{DATASET}")
        content = await warehouse.fetchrow(
            f"SELECT COUNT(*), COUNT(DISTINCT _record_id), MIN(_record_id) || MAX(_record_id) FROM lake.{DATASET}"
        )
        assert content is not None
        return Outcome(name, int(copies), ended - began, ended - sent, (content[0], content[1], content[2]))
    finally:
        await warehouse.close()


@asynccontextmanager
async def _worker(environment: dict[str, str]) -> AsyncIterator[None]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("ACEQUIA_", "AWS_"))}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "service",
        "run",
        cwd=PROJECT,
        env={**clean, **environment},
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()


def _show(outcomes: Sequence[Outcome]) -> None:
    table = Table(title=f"{FILES:,} files")
    for column in ("way", "COPYs", "files per COPY", "COPYs per minute", "complete after the last file", "rows"):
        table.add_column(column, justify="right")
    for one in outcomes:
        table.add_row(
            one.name,
            f"{one.copies:,}",
            f"{FILES / one.copies:.1f}",
            f"{one.copies * 60 / one.seconds:.1f}",
            f"{one.lag_seconds:.1f} s",
            f"{one.content[0]:,}",
        )
    Console().print(table)
    same = outcomes[0].content == outcomes[1].content
    Console().print("The table's content is the same." if same else "[red]The table's content differs.[/]")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="over how long the files arrive")
    sys.exit(asyncio.run(main(parser.parse_args().seconds)))
