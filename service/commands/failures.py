"""What `acequia reprocess` prints."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from rich.console import Console, ConsoleOptions, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from service.commands.report import GAP, Sheet
from service.quarantine.reprocess.plan import Plan
from service.quarantine.reprocess.rehearse import Inside
from service.quarantine.reprocess.run import Done
from service.quarantine.reprocess.show import Shown, printable
from service.quarantine.reprocess.table import Example, Group

FAULTS_MAX = 10
WHAT_COLUMNS_MIN = 20
"""In fewer columns what failed is not readable beside the figures."""


@dataclass(frozen=True, slots=True)
class Groups:
    """Failures by fingerprint, to print on a console: a table where there is room for what failed, else that stands
    under the figures. No fingerprint and no figure is ever cut.
    """

    groups: Sequence[Group]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        names = ("fingerprint", "records", "open", "reprocessed", "resolved", "parked")
        counts = Sheet(names, [_counts(one) for one in self.groups])
        wide = Sheet((*names, "first", "last"), [[*_counts(one), *_moments(one)] for one in self.groups])
        if len(wide.lines()[0]) + len(GAP) + WHAT_COLUMNS_MIN <= options.max_width:
            yield self._table(wide)
            return
        head, *lines = counts.lines()
        yield Text(head)
        for line, one in zip(lines, self.groups, strict=True):
            yield Text(line)
            yield Padding(Text(f"{' to '.join(_moments(one))}, {_what(one)}"), (0, 0, 0, len(GAP)))

    def _table(self, sheet: Sheet) -> Table:
        table = Table(box=None, pad_edge=False)
        for name, width in zip(sheet.names, sheet.widths, strict=True):
            left = name in ("fingerprint", "first", "last")
            table.add_column(name, justify="left" if left else "right", no_wrap=True, min_width=width)
        table.add_column("what")
        for row, one in zip(sheet.rows, self.groups, strict=True):
            table.add_row(*(Text(cell) for cell in row), Text(_what(one)))
        return table


def groups_table(groups: Sequence[Group]) -> Groups:
    """Failures by fingerprint."""
    return Groups(groups)


def example_lines(shown: Shown) -> Text:
    """One example: what of it may be seen, the field to blame marked, why it failed, and where it lies."""
    example, text = shown.example, Text()
    text.append(f"\n{example.error_id} · {example.state}, tried {_times(example.attempts)}\n")
    text.append(f"  {printable(_where(example))}\n")
    if example.original_uri is not None:
        text.append(f"  original in {printable(example.original_uri)}\n")
    text.append(f"  {printable(example.sentence)}\n")
    if not shown.fields:
        text.append("  nothing of it can be shown: it was not opened, or no definition says what may be seen\n")
    for field in shown.fields:
        mark, style = (">", "bold red") if field.failed else (" ", "")
        text.append(f"  {mark} {field.name}: {field.value}\n", style=style)
    if example.field is not None and not any(field.failed for field in shown.fields):
        text.append(f"  > {printable(example.field)}\n", style="bold red")
    return text


def expected_lines(plan: Plan, *, attempts_max: int) -> Iterator[str]:
    """What a run would come to."""
    expected = plan.forecast
    if not plan.items:
        yield "Nothing open is chosen: nothing to send." if not plan.exhausted else "Nothing is left to send."
    else:
        failing = expected.failing.total()
        yield f"{len(plan.items):,} chosen: {expected.passing:,} would pass now, {failing:,} would fail again."
        yield from _reason_lines(expected.failing)
    if expected.unknown:
        yield f"  {expected.unknown:,} cannot be rehearsed: their originals are gone from the errors zone"
    for why, count in expected.untold.most_common():
        yield f"  {count:,} cannot be told beforehand: {why}"
    yield from _inside_lines(expected.inside)
    if plan.exhausted:
        yield f"{len(plan.exhausted):,} failed {_times(attempts_max)} or more: not sent without --parked."


def _inside_lines(inside: Inside) -> Iterator[str]:
    files = "1 whole file" if inside.files == 1 else f"{inside.files:,} whole files"
    messages = f"{inside.messages:,} message{'s' if inside.messages > 1 else ''} of several records"
    what = " and ".join([files] * bool(inside.files) + [messages] * bool(inside.messages))
    if not what:
        return
    failing = inside.failing.total()
    yield f"{what} would be refined: {inside.passing:,} records pass now, {failing:,} fail, each by itself."
    yield from _reason_lines(inside.failing)


def _reason_lines(failing: Counter[tuple[str, str, str]]) -> Iterator[str]:
    for (dataset, code, sentence), count in islice(failing.most_common(), FAULTS_MAX):
        yield f"  {count:,} {code} in {printable(dataset) or 'no dataset'}: {printable(sentence)}"
    if len(failing) > FAULTS_MAX:
        yield f"  and {len(failing) - FAULTS_MAX:,} other reasons"


def done_lines(done: Done) -> Iterator[str]:
    """What a run has come to."""
    yield (
        f"{done.sent:,} sent back in {done.messages:,} messages, {done.parked:,} parked, {done.letters:,} letters "
        f"settled on the reprocess queue; round {done.round_id}."
    )
    for why, count in done.refused.most_common():
        yield f"  {count:,} could not be sent: {why}"
    if done.sent:
        yield "What passes is mailed as resolved; what fails again comes back here: acequia reprocess list"


def _counts(one: Group) -> list[str]:
    counts = (one.records, one.open, one.reprocessed, one.resolved, one.parked)
    return [printable(one.fingerprint), *(f"{count:,}" for count in counts)]


def _moments(one: Group) -> list[str]:
    return [f"{one.first_failed_at:%m-%d %H:%M}", f"{one.last_failed_at:%m-%d %H:%M}"]


def _what(one: Group) -> str:
    where = f"{one.code} in {one.dataset or 'no dataset'} ({one.layer}{f', {one.field}' if one.field else ''})"
    return printable(f"{where}\n{one.sentence}")


def _where(example: Example) -> str:
    if example.row_index is not None:
        return f"{example.raw_file} · message {example.row_index}, record {example.record_index}"
    if example.raw_file is not None:
        return f"{example.raw_file} as a whole, announced in message {example.message_id or 'of unknown id'}"
    return f"message {example.message_id or 'of unknown id'}"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
