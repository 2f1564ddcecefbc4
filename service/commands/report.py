"""What replay and reconcile print."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from rich.console import Console, ConsoleOptions
from rich.text import Text

from service.upkeep.explain import EXPLAINED, SENTENCES, Finding, Kind
from service.upkeep.reconcile import Day, Figures, total
from service.upkeep.replay import Plan

COLUMNS = 120
"""Where output is no terminal."""
GAP = "  "
"""Between two columns."""
EXAMPLES_MAX = 2
MEBIBYTE = 1024 * 1024


def console() -> Console:
    """Standard output, wide enough for the tables."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else COLUMNS)


@dataclass(frozen=True, slots=True)
class Sheet:
    """Figures under names, to print on a console; no cell is ever cut. Where the console is too narrow, the columns
    stand in several blocks beneath each other, each of which begins with the first one, and that is left-justified.
    """

    names: Sequence[str]
    rows: Sequence[Sequence[str]]

    @property
    def widths(self) -> list[int]:
        """What each column needs."""
        return [max(map(len, column)) for column in zip(self.names, *self.rows, strict=True)]

    def lines(self, columns: Sequence[int] | None = None) -> list[str]:
        """The names and the rows of these columns, by default of all."""
        widths, chosen = self.widths, [*range(1, len(self.names))] if columns is None else columns
        return [
            GAP.join([row[0].ljust(widths[0]), *(row[column].rjust(widths[column]) for column in chosen)])
            for row in (self.names, *self.rows)
        ]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        for number, columns in enumerate(self._blocks(options.max_width)):
            if number:
                yield Text()
            yield from (Text(line) for line in self.lines(columns))

    def _blocks(self, width: int) -> list[list[int]]:
        widths, blocks, used = self.widths, list[list[int]](), 0
        for column, needs in enumerate(widths[1:], 1):
            if not blocks or used + len(GAP) + needs > width:
                blocks.append([])
                used = widths[0]
            blocks[-1].append(column)
            used += len(GAP) + needs
        return blocks


def plan_table(plan: Plan) -> Sheet:
    """What a replay would do, by day of arrival."""
    rows = []
    for day in plan.days:
        size = f"{day.content_length_bytes / MEBIBYTE:,.1f}"
        rows.append([f"{day.day}", f"{day.files:,}", size, f"{day.rows:,}", f"{day.settled:,}"])
    return Sheet(("day", "raw files", "MiB", "rows now", "replayed already"), rows)


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

    def figures(self) -> Sheet:
        """The days, side by side."""
        names = (
            "day", "raw files", "messages", "distinct", "records", "distinct", "refined", "rejected", "inserted",
            "duplicate", "replaced", "table",
        )  # fmt: skip
        rows = []
        figures = [*self._figures]
        if len(figures) > 1:
            figures.append(("all", total([one for _, one in figures])))
        for name, one in figures:
            numbers = [one.raw_files, one.messages, one.messages_distinct, one.records, one.records_distinct]
            numbers += [one.refined_rows, one.rejected, one.inserted, one.duplicate, one.replaced, one.table_rows]
            rows.append([name, *(f"{number:,}" for number in numbers)])
        return Sheet(names, rows)

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
