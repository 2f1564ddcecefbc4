"""What a person sees of a local run: the progress, the sum that adds up, the analyst's answers, what to do next."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import asyncpg
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from service.load.statements import literal
from service.local.stack import Stack

STEPS = ("sent", "landed", "refined", "loaded")


WHY_NOT = (
    "A line that holds several records, or a record that spans several lines, is counted as sent by its lines; "
    "a message or file that was rejected whole counts as one."
)


class Bars:
    """One bar a step; what is rejected counts as dealt with at the step that rejected it."""

    def __init__(self, console: Console, steps: Sequence[str]) -> None:
        self.progress = Progress(
            TextColumn("records {task.description:>8}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {step: self.progress.add_task(step, total=None) for step in steps}

    def show(self, totals: dict[str, int], total: int | None) -> None:
        """Move the bars; `total` is known once everything is sent."""
        for step, task in self._tasks.items():
            self.progress.update(task, completed=totals[step], total=total)


@dataclass(frozen=True, slots=True)
class Sum:
    """Where every record went: loaded and duplicate from the warehouse's ledger, rejected from the dead letters.

    `waiting` is what the last layer handed on, where load did not run.
    """

    sent: int
    loaded: int
    duplicate: int
    rejected: dict[str, int]
    waiting: int

    @property
    def accounted(self) -> int:
        """Records of which we know where they are."""
        return self.loaded + self.duplicate + sum(self.rejected.values()) + self.waiting


async def take_sum(
    connection: asyncpg.Connection, dataset: str, sent: int, rejected: dict[str, int], waiting: int
) -> Sum:
    """Ask the ledger what became of the rows."""
    row = await connection.fetchrow(
        "SELECT COALESCE(SUM(inserted), 0), COALESCE(SUM(duplicate), 0) FROM acequia.load_ledger "  # noqa: S608
        f"WHERE dataset = {literal(dataset)}"
    )
    assert row is not None
    return Sum(sent, int(row[0]), int(row[1]), rejected, waiting)


def show_sum(console: Console, dataset: str, found: Sum) -> None:
    """The table that adds up."""
    console.print(f"\n{dataset}: where every record went", style="bold")
    table = Table()
    table.add_column("records")
    table.add_column("count", justify="right")
    table.add_row("sent", f"{found.sent:,}", end_section=True)
    table.add_row("loaded", f"{found.loaded:,}")
    table.add_row("duplicate", f"{found.duplicate:,}")
    for code, count in found.rejected.items():
        table.add_row(f"rejected: {code}", f"{count:,}")
    if not found.rejected:
        table.add_row("rejected", "0")
    if found.waiting:
        table.add_row("waiting for the next layer", f"{found.waiting:,}")
    table.add_section()
    table.add_row("loaded + duplicate + rejected" + " + waiting" * bool(found.waiting), f"{found.accounted:,}")
    console.print(table)
    if found.accounted != found.sent:
        missing = f"[bold red]This does not add up: {found.sent - found.accounted:+,} records.[/]"
        console.print(f"{missing} {WHY_NOT}", soft_wrap=True)


async def show_answer(console: Console, connection: asyncpg.Connection, question: str, statement: str) -> None:
    """One question, its answer."""
    rows = await connection.fetch(statement)
    console.print(f"\n{question}", style="bold")
    table = Table()
    for name in rows[0].keys() if rows else ["no rows"]:
        table.add_column(name)
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    console.print(table)


def show_places(console: Console, stack: Stack, dataset: str, *, stays: bool) -> None:
    """Where things lie, and how to go on."""
    lines = [
        "",
        f"Parquet:   {stack.refined_directory}/{dataset}/dt=…/*.parquet (any Parquet reader opens it)",
        f"Warehouse: psql {stack.warehouse_dsn}",
        f"           table lake.{dataset}, ledger acequia.load_ledger_{dataset}",
        f"Logs:      {stack.directory}/worker.log",
        f"Mail:      {stack.directory}/mail/ (what is rejected, where the layer quarantine runs)",
        f"Commands:  set -a; . {stack.directory}/environment; set +a; acequia reprocess list",
        "Everything keeps running; Ctrl-C stops it and leaves the Parquet files."
        if stays
        else "Everything stops now; the Parquet files stay. To keep it running, add --stay.",
    ]
    console.print("\n".join(lines), soft_wrap=True)


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case datetime():
            return value.isoformat(sep=" ", timespec="seconds")
        case float():
            return f"{value:,.2f}"
        case Decimal() | int():
            return f"{value:,}"
        case _:
            return str(value)
