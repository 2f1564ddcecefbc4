"""The whole service in simulated worlds: whatever goes wrong, its promises hold; and everything did go wrong."""

import os
from collections.abc import Callable

import pytest

from tests.simulation.campaign import campaign, seldom, summary, untold
from tests.simulation.people_faults import PEOPLED_EVERY
from tests.simulation.plan import PEOPLED

SEEDS = range(1, 1_601)
PEOPLE = range(1_600 + PEOPLED, 2_000, PEOPLED_EVERY)
"""Beyond them, worlds with people: their commands come by a few places so seldom that those above do not suffice."""


@pytest.mark.timeout(900)
def test_the_promises_hold_whatever_goes_wrong(tell: Callable[[str], None]) -> None:
    # Those that take long come first, so that no process is left with all of them at the end.
    tally = campaign([*PEOPLE, *SEEDS], processes=min(2, os.cpu_count() or 1))
    tell(summary(tally))
    assert not tally.failures, "\n".join(tally.failures)
    assert seldom(tally) == []
    assert untold(tally) == []
