"""What `acequia reprocess` prints."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice

from rich.table import Table
from rich.text import Text

from service.quarantine.reprocess.plan import Plan
from service.quarantine.reprocess.rehearse import Inside
from service.quarantine.reprocess.run import Done
from service.quarantine.reprocess.show import Shown
from service.quarantine.reprocess.table import Example, Group

FAULTS_MAX = 10


def groups_table(groups: Sequence[Group]) -> Table:
    """Failures by fingerprint."""
    table = Table(box=None, pad_edge=False)
    for name in ("fingerprint", "records", "open", "reprocessed", "resolved", "parked", "first", "last", "what"):
        numeric = name in ("records", "open", "reprocessed", "resolved", "parked")
        table.add_column(name, justify="right" if numeric else "left", no_wrap=name != "what")
    for one in groups:
        counts = (one.records, one.open, one.reprocessed, one.resolved, one.parked)
        moments = (f"{one.first_failed_at:%m-%d %H:%M}", f"{one.last_failed_at:%m-%d %H:%M}")
        where = f"{one.code} in {one.dataset or 'no dataset'} ({one.layer}{f', {one.field}' if one.field else ''})"
        what = Text(f"{where}\n{one.sentence}")
        table.add_row(one.fingerprint, *(f"{count:,}" for count in counts), *moments, what)
    return table


def example_lines(shown: Shown) -> Text:
    """One example: what of it may be seen, the field to blame marked, and where it lies."""
    example, text = shown.example, Text()
    text.append(f"\n{example.error_id} · {example.state}, tried {_times(example.attempts)}\n")
    text.append(f"  {_where(example)}\n")
    if example.original_uri is not None:
        text.append(f"  original in {example.original_uri}\n")
    if not shown.fields:
        text.append("  nothing of it can be shown: it was not opened, or no definition says what may be seen\n")
    for field in shown.fields:
        mark, style = (">", "bold red") if field.failed else (" ", "")
        text.append(f"  {mark} {field.name}: {field.value}\n", style=style)
    if example.field is not None and not any(field.failed for field in shown.fields):
        text.append(f"  > {example.field}\n", style="bold red")
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
    if not inside.files:
        return
    what = "1 whole file" if inside.files == 1 else f"{inside.files:,} whole files"
    failing = inside.failing.total()
    yield f"{what} would be refined: {inside.passing:,} records pass now, {failing:,} fail, each by itself."
    yield from _reason_lines(inside.failing)


def _reason_lines(failing: Counter[tuple[str, str, str]]) -> Iterator[str]:
    for (dataset, code, sentence), count in islice(failing.most_common(), FAULTS_MAX):
        yield f"  {count:,} {code} in {dataset or 'no dataset'}: {sentence}"
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


def _where(example: Example) -> str:
    if example.row_index is not None:
        return f"{example.raw_file} · message {example.row_index}, record {example.record_index}"
    if example.raw_file is not None:
        return f"{example.raw_file} as a whole, announced in message {example.message_id or 'of unknown id'}"
    return f"message {example.message_id or 'of unknown id'}"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
