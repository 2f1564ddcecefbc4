"""An error storm beside good records: what it costs the other layers, how much memory it takes, how much mail it makes.

    .venv/bin/python -m bench.storm [--pairs 5] [--good 80000] [--rejected 100000] [--seconds 10]

A storm is rejected records of three fingerprints, as stored batches: raw files and refine's dead letters about them,
written directly. Streams of good records go through the real layers on the one-machine stack, in pairs, once with a
storm beside them and once without, the first of a pair in turns. `acequia run` runs once as two processes, the flow and
quarantine, and once as one with all four layers. Of the pairs' ratios the median counts: on a machine that does other
things besides, single ones differ by a tenth and more.

What the flow does to load the error rows counts as a cost of the good records. Memory is the quarantine process's own,
at its peak, when a storm comes all at once, and when one twice as large does; a fresh process each. The same again with
fewer but long records.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from bench.storm_batches import LONG, USUAL, Shape
from bench.storm_runs import Cost, Runs, open_runs
from bench.storm_workers import Worker, worker
from service.core.definitions import load_datasets
from service.local.provision import open_aws
from service.local.stack import Stack, backing_services
from service.settings import FLOW, LAYERS, PROJECT

MIB = 2**20
RISE_MAX = 0.1
LONG_REJECTED = 15_000


@dataclass(frozen=True, slots=True)
class Plan:
    """How much, how long, how often."""

    good: int
    rejected: int
    seconds: float
    pairs: int


@dataclass(frozen=True, slots=True)
class Pair:
    """The same stream, without a storm beside it and with one."""

    calm: Cost
    storm: Cost

    @property
    def ratio(self) -> float:
        """Of the processor time of a good record."""
        return self.storm.others_microseconds / self.calm.others_microseconds


@dataclass(frozen=True, slots=True)
class Memory:
    """Of a quarantine process, resident: before the storm, and at its peak; and what the storm cost the flow."""

    before_bytes: int
    peak_bytes: int
    cost: Cost


@asynccontextmanager
async def opened() -> AsyncIterator[tuple[Stack, Runs]]:
    """A stack of its own, in a directory of its own."""
    datasets = load_datasets(PROJECT / "datasets")
    with tempfile.TemporaryDirectory(prefix="acequia-bench-") as directory:
        services = backing_services(
            Path(directory) / "stack", sql=PROJECT / "sql", datasets=datasets, datasets_directory=PROJECT / "datasets"
        )
        async with services as stack, open_aws(stack.aws_endpoint) as aws, open_runs(stack, aws) as runs:
            yield stack, runs


async def pair_of(runs: Runs, others: Worker, quarantine: Worker | None, plan: Plan, number: int) -> Pair:
    """Two streams; every second pair begins with the storm."""
    costs: dict[int, Cost] = {}
    for rejected in (0, plan.rejected) if number % 2 == 0 else (plan.rejected, 0):
        costs[rejected] = await runs.stream(others, quarantine, good=plan.good, rejected=rejected, seconds=plan.seconds)
    return Pair(costs[0], costs[plan.rejected])


async def burst(stack: Stack, runs: Runs, others: Worker, rejected: int, shape: Shape = USUAL) -> Memory:
    """A storm that comes all at once, to a fresh process."""
    async with worker(stack, "quarantine") as quarantine:
        before_bytes = quarantine.memory_bytes()
        cost = await runs.stream(others, quarantine, good=0, rejected=rejected, seconds=0, shape=shape)
        return Memory(before_bytes, quarantine.peak_bytes(), cost)


async def main(plan: Plan) -> int:
    """Measure, show; the exit code."""
    console = Console()
    flow, everything = ",".join(FLOW), ",".join(LAYERS)
    async with opened() as (stack, runs):
        async with worker(stack, flow) as others:
            await runs.stream(others, None, good=plan.good, rejected=0, seconds=plan.seconds)
            memory = [await burst(stack, runs, others, size) for size in (plan.rejected, 2 * plan.rejected)]
            long = [await burst(stack, runs, others, size, LONG) for size in (LONG_REJECTED, 2 * LONG_REJECTED)]
            async with worker(stack, "quarantine") as quarantine:
                apart = [await pair_of(runs, others, quarantine, plan, n) for n in range(plan.pairs)]
                await runs.until_mailed()
        async with worker(stack, everything) as one:
            await runs.stream(one, None, good=plan.good, rejected=0, seconds=plan.seconds)
            together = [await pair_of(runs, one, None, plan, n) for n in range(plan.pairs)]
        _show_pairs(console, "Two processes: the flow, without quarantine", apart)
        _show_pairs(console, "One process with all four layers: all of its processor time", together)
        _show_memory(console, "Memory of the quarantine process, the storm at once", memory)
        _show_memory(console, f"The same, each rejected record {LONG.note_bytes:,} bytes long", long)
        (rows, fingerprints), mails = await runs.error_rows(), runs.mails()
        console.print(f"{runs.rejected:,} rejected records: {rows:,} rows in acequia.errors,")
        console.print(f"{fingerprints} fingerprints, {len(mails)} mails:")
        for mail in mails:
            console.print(f"  {mail.text.splitlines()[0]}", soft_wrap=True)
    rise = median(pair.ratio for pair in apart) - 1
    return 0 if rise <= RISE_MAX and rows == runs.rejected else 1


def _show_pairs(console: Console, title: str, some: Sequence[Pair]) -> None:
    table = Table(title=title)
    for column in ("calm, µs a record", "storm, µs a record", "ratio", "quarantine, s", "error files", "COPYs"):
        table.add_column(column, justify="right")
    table.add_column("last letter to last row", justify="right")
    for pair in some:
        table.add_row(
            f"{pair.calm.others_microseconds:.1f}",
            f"{pair.storm.others_microseconds:.1f}",
            f"{pair.ratio:.3f}",
            f"{pair.storm.quarantine_seconds:.1f}" if pair.storm.quarantine_seconds else "in it",
            f"{pair.storm.error_files}",
            f"{pair.storm.error_copies}",
            f"{pair.storm.drained_seconds:.1f} s",
        )
    console.print(table)
    calm = median(pair.calm.others_microseconds for pair in some)
    storm = median(pair.storm.others_microseconds for pair in some)
    ratio = median(pair.ratio for pair in some)
    console.print(f"medians: {calm:.1f} µs, {storm:.1f} µs, ratio {ratio:.3f}; {some[0].calm.good:,} good records each")


def _show_memory(console: Console, title: str, memory: Sequence[Memory]) -> None:
    table = Table(title=title)
    for column in (
        "rejected records",
        "before, MiB",
        "peak, MiB",
        "quarantine, s",
        "flow, s",
        "last letter to last row",
    ):
        table.add_column(column, justify="right")
    for one in memory:
        sizes = f"{one.before_bytes / MIB:.0f}", f"{one.peak_bytes / MIB:.0f}"
        used = f"{one.cost.quarantine_seconds:.1f}", f"{one.cost.others_seconds:.2f}"
        table.add_row(f"{one.cost.rejected:,}", *sizes, *used, f"{one.cost.drained_seconds:.1f} s")
    console.print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5, help="of streams, for each way of running")
    parser.add_argument("--good", type=int, default=80_000, help="good records in a stream")
    parser.add_argument(
        "--rejected", type=int, default=100_000, help="rejected records in a storm, in whole files of 5,000"
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="over how long a stream arrives")
    given = parser.parse_args()
    sys.exit(asyncio.run(main(Plan(given.good, given.rejected, given.seconds, given.pairs))))
