"""What the ledger's rows say about what was sent back."""

from datetime import UTC, datetime, timedelta

import pytest

from service.quarantine.reprocess.rounds import Awaited
from service.wiring.reprocess import Booked, there

BATCH = "20260101T000000000Z-0123456789abcdef"
ASKED = datetime(2026, 1, 2, 3, 4, 5, 678_901)  # noqa: DTZ001 (as tables have it)
TICK = timedelta(microseconds=1)
RECORDS = Awaited("d", BATCH, moment=ASKED)
FILES = Awaited("d", BATCH, ("one", "two"))
ANY = Awaited("d", BATCH)


def row(
    uri: str = "one", *, asked: datetime | None = ASKED, later: datetime | None = None, batch: str = BATCH
) -> Booked:
    """Loaded an hour after that was asked for; a replay has taken its place `later`."""
    return Booked(uri, batch, ASKED + timedelta(hours=1), asked, later)


@pytest.mark.parametrize(
    ("one", "rows", "found"),
    [
        (RECORDS, [row()], True),
        (RECORDS, [row(asked=ASKED + TICK)], False),
        (RECORDS, [row(asked=ASKED - TICK)], False),
        (RECORDS, [row(asked=None)], False),
        (RECORDS, [row(batch="another")], False),
        (RECORDS, [], False),
        (RECORDS, [row(asked=ASKED - TICK, later=ASKED + TICK)], True),
        (RECORDS, [row(asked=ASKED - TICK, later=ASKED)], False),
        (RECORDS, [row(later=ASKED + TICK)], True),
        (RECORDS, [row(batch="another", asked=None, later=ASKED + TICK)], False),
        (FILES, [row(), row("two")], True),
        (FILES, [row()], False),
        (ANY, [row(asked=None)], True),
        (ANY, [row(batch="another")], False),
    ],
)
def test_what_was_sent_is_there_when_the_ledger_names_it(one: Awaited, rows: list[Booked], found: bool) -> None:  # noqa: FBT001 (a table's column)
    assert there([one], rows, ASKED.replace(tzinfo=UTC)) == ({one} if found else set())


def test_of_a_batch_that_is_told_no_closer_only_what_was_loaded_since_counts() -> None:
    since = (ASKED + timedelta(hours=1)).replace(tzinfo=UTC)
    assert there([ANY], [row()], since) == {ANY}
    assert there([ANY], [row()], since + TICK) == set()
