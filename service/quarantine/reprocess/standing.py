"""Where a fingerprint stands, from its error rows: open if one of them is, else parked, reprocessed, resolved.

Failures about the errors dataset itself have no rows: who sends them back says so, and their rounds say when all of it
is there.
"""

from collections.abc import Iterable
from datetime import timedelta

from service.core.ports import Means
from service.core.zones import Zone
from service.quarantine.reprocess.table import read_table
from service.quarantine.states import Standing, States

STANDING_DAYS_MAX = 90
"""Older failures are not looked for: nothing of them is in any queue, and reading all error files has a price."""
_BY_STATE = """
SELECT fingerprint, bool_or(state = 'open'), bool_or(state = 'parked'), bool_or(state = 'reprocessed')
FROM latest WHERE list_contains($fingerprints, fingerprint) GROUP BY fingerprint
"""


async def mark_standings(fingerprints: Iterable[str], zone: Zone, means: Means) -> dict[str, Standing]:
    """Have these fingerprints stand as their rows do, and tell how; those that failed meanwhile stay as they are.

    States are read before the rows: a failure that is counted has its row already.
    """
    states = States(zone, means)
    known = await states.read(sorted(set(fingerprints)))
    if not known:
        return {}
    oldest = means.clock.now().date() - timedelta(days=STANDING_DAYS_MAX)
    since = max(oldest, min(state.first_failed_at for state in known).date())
    table = await read_table(zone, means, since)
    asked = [state.fingerprint for state in known]
    rows = await means.threads.run(table.ask, _BY_STATE, fingerprints=asked)
    standings = {name: _standing(is_open=is_open, parked=parked, sent=sent) for name, is_open, parked, sent in rows}
    for state in known:
        standing = standings.get(state.fingerprint, state.state)
        if standing != state.state:
            await states.mark(state, standing)
    return standings


async def mark_without_rows(fingerprints: Iterable[str], standing: Standing, zone: Zone, means: Means) -> None:
    """Have those of these that were sent back stand so; what has failed since, or was not all sent, stays as it is."""
    states = States(zone, means)
    for state in await states.read(sorted(set(fingerprints))):
        if state.state == "reprocessed":
            await states.mark(state, standing)


def _standing(*, is_open: bool, parked: bool, sent: bool) -> Standing:
    if is_open:
        return "open"
    if parked:
        return "parked"
    return "reprocessed" if sent else "resolved"
