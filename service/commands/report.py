"""What replay and reconcile print."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from rich.console import Console
from rich.table import Table

from service.upkeep.explain import EXPLAINED, SENTENCES, Finding, Kind
from service.upkeep.reconcile import Day, Figures, total
from service.upkeep.replay import Plan

COLUMNS = 120
"""Where output is no terminal."""
EXAMPLES_MAX = 2
MEBIBYTE = 1024 * 1024


def console() -> Console:
    """Standard output, wide enough for the tables."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else COLUMNS)


def plan_table(plan: Plan) -> Table:
    """What a replay would do, by day of arrival."""
    table = _table("day", "raw files", "MiB", "rows now", "replayed already", "on their way")
    for day in plan.days:
        size = f"{day.content_length_bytes / MEBIBYTE:,.1f}"
        table.add_row(f"{day.day}", f"{day.files:,}", size, f"{day.rows:,}", f"{day.settled:,}", f"{day.young:,}")
    return table


def plan_lines(plan: Plan, *, files_minute_max: float) -> str:
    """How long it would take."""
    minutes, sending = plan.minutes(files_minute_max), plan.files / files_minute_max
    sent = f"sending alone: {sending:,.1f}, at {files_minute_max:g} files a minute"
    if minutes is None:
        return f"expected minutes: unknown, nothing was loaded in the last 7 days ({sent})"
    best, worst = minutes
    return (
        f"expected minutes: {best:,.1f} to {worst:,.1f} ({sent})\n"
        "as fast as the best minute of the last 7 days, or as the best hour: a quiet dataset has shown little"
    )


@dataclass(slots=True)
class _Sum:
    """Findings of one kind on one day."""

    files: int = 0
    records: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, finding: Finding) -> None:
        self.files += len(finding.uris)
        self.records += abs(finding.count)
        self.examples.extend(finding.uris[: EXAMPLES_MAX - len(self.examples)])


class Account:
    """What was reconciled so far. Of findings it keeps sums by day and kind, with a few examples."""

    def __init__(self, in_flight: timedelta) -> None:
        self._minutes = round(in_flight.total_seconds() / 60)
        self._figures: list[tuple[str, Figures]] = []
        self._sums: dict[tuple[str, Kind], _Sum] = {}

    def add(self, day: Day) -> None:
        """Take a day."""
        self._figures.append((f"{day.day}", day.figures))
        for finding in day.findings:
            self._sums.setdefault((f"{day.day}", finding.kind), _Sum()).add(finding)

    @property
    def adds_up(self) -> bool:
        """Whether every difference is explained."""
        return all(kind in EXPLAINED for _, kind in self._sums)

    def figures(self) -> Table:
        """The days, side by side."""
        table = _table(
            "day", "raw files", "messages", "distinct", "records", "distinct", "refined", "rejected", "inserted",
            "duplicate", "replaced", "table",
        )  # fmt: skip
        figures = [*self._figures]
        if len(figures) > 1:
            figures.append(("all", total([one for _, one in figures])))
        for name, one in figures:
            numbers = [one.raw_files, one.messages, one.messages_distinct, one.records, one.records_distinct]
            numbers += [one.refined_rows, one.rejected, one.inserted, one.duplicate, one.replaced, one.table_rows]
            table.add_row(name, *(f"{number:,}" for number in numbers))
        return table

    def differences(self) -> list[str]:
        """What does not agree, and why: a line for each kind and day, and below it where for example."""
        lines = []
        for (day, kind), one in self._sums.items():
            mark = "explained" if kind in EXPLAINED else "DIFFERS  "
            sentence = SENTENCES[kind].format(minutes=self._minutes)
            lines.append(f"{day}  {mark}  {one.records:,} records, {one.files:,} files: {sentence}")
            lines.extend(f"{'':23}{example}" for example in one.examples)
        return lines


def letters_line(letters: Mapping[str, int]) -> str:
    """How many dead letters the errors dataset cannot tell of yet."""
    told = ", ".join(f"{layer} {count:,}" for layer, count in letters.items())
    return f"dead letters that wait for the quarantine layer, of all datasets: {told}"


def _table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in names:
        table.add_column(name, justify="left" if name == "day" else "right")
    return table
