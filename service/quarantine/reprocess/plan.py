"""What a choice of failures comes to: which records, which of them are tried no more, and what would become of them.

Only the errors zone is read: `acequia reprocess list`, `show` and `--rehearse` go no further than this.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from service.core.errors import CODES, SetupError
from service.core.moments import naive, utc
from service.core.ports import Means
from service.core.zones import Zone
from service.quarantine.arrivals import LAYERS
from service.quarantine.reprocess.rehearse import Forecast, OriginalsReader, forecast
from service.quarantine.reprocess.table import (
    ATTEMPTS_CEILING,
    DAYS_BEFORE,
    DAYS_MAX,
    Choice,
    ErrorTable,
    Group,
    Item,
    read_table,
    with_past,
)
from service.quarantine.reprocess.tools import Tools

_SETTLED = "SELECT error_id, last_failed_at FROM latest WHERE state IN ('reprocessed', 'resolved')"

_DATASETS = """
SELECT DISTINCT coalesce(dataset, '') FROM latest WHERE last_failed_at BETWEEN $since AND $until ORDER BY 1
"""

Told = Callable[[int], None]
"""How many more records are through."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would do: send `items`, park `exhausted`, together no more than the choice's limit; `settled` are
    errors of which nothing is left to do, with the moments of their last failures, `unreadable` are error files that
    nobody can read, and `datasets` are all of which something failed in the choice's time.
    """

    items: Sequence[Item]
    exhausted: Sequence[Item]
    forecast: Forecast
    settled: dict[str, datetime]
    unreadable: Sequence[str] = ()
    datasets: Sequence[str] = ()


async def errors_of(choice: Choice, zone: Zone, means: Means) -> ErrorTable:
    """The error rows that a choice is about; SetupError where it makes no sense."""
    if choice.since > choice.until:
        raise SetupError(
            f"--since {choice.since:%Y-%m-%dT%H:%M:%SZ} is after --until {choice.until:%Y-%m-%dT%H:%M:%SZ}"
        )
    if means.clock.now() - choice.since > timedelta(days=DAYS_MAX):
        raise SetupError(f"--since {choice.since:%Y-%m-%d} is more than {DAYS_MAX} days ago")
    if choice.layer is not None and choice.layer not in LAYERS:
        raise SetupError(f"--layer {choice.layer!r} is none; there are {', '.join(sorted(LAYERS))}")
    if choice.code is not None and choice.code not in CODES:
        raise SetupError(f"--code {choice.code!r} is none; there are {', '.join(sorted(CODES))}")
    table = await read_table(zone, means, choice.since.date(), days_before=DAYS_BEFORE)
    return await with_past(table, choice, zone, means)


async def group_of(fingerprint: str, table: ErrorTable, choice: Choice, means: Means) -> Group:
    """All that is known of a fingerprint; SetupError where there is nothing."""
    alone = Choice(choice.since, choice.until, fingerprint=fingerprint)
    groups = await means.threads.run(table.groups, alone)
    if not groups:
        raise SetupError(
            f"nothing with fingerprint {fingerprint!r} failed between {choice.since:%Y-%m-%d} and "
            f"{choice.until:%Y-%m-%d}: acequia reprocess list shows what did, --since goes further back"
        )
    return groups[0]


async def plan(choice: Choice, tools: Tools, begun: Callable[[int], Told]) -> Plan:
    """Choose and rehearse. `begun` is told how many records are rehearsed, and gives whom to tell of the progress."""
    threads = tools.means.threads
    table = await errors_of(choice, tools.errors, tools.means)
    if choice.fingerprint is not None:
        await group_of(choice.fingerprint, table, choice, tools.means)
    tried_max = ATTEMPTS_CEILING if choice.parked else tools.attempts_max - 1
    items = await threads.run(table.items, choice, tried_max=tried_max)
    exhausted: list[Item] = []
    if not choice.parked and len(items) < choice.limit:
        left = replace(choice, limit=choice.limit - len(items))
        exhausted = await threads.run(table.items, left, tried_min=tools.attempts_max)
    originals = OriginalsReader(tools.errors, tools.means)
    expected = await forecast(items, originals, tools.rehearse, begun(len(items)))
    datasets = await threads.run(_datasets, table, choice)
    return Plan(items, exhausted, expected, await threads.run(_settled, table), table.unreadable, datasets)


def _datasets(table: ErrorTable, choice: Choice) -> list[str]:
    return [name for (name,) in table.ask(_DATASETS, since=naive(choice.since), until=naive(choice.until))]


def _settled(table: ErrorTable) -> dict[str, datetime]:
    return {error_id: utc(failed_at) for error_id, failed_at in table.ask(_SETTLED)}
