"""The whole service in simulated worlds: whatever goes wrong, its promises hold; and everything did go wrong."""

import os
from collections.abc import Callable

import pytest

from tests.simulation.campaign import campaign, seldom, summary, untold

SEEDS = range(1, 1_601)


@pytest.mark.timeout(600)
def test_the_promises_hold_whatever_goes_wrong(tell: Callable[[str], None]) -> None:
    tally = campaign(SEEDS, processes=min(2, os.cpu_count() or 1))
    tell(summary(tally))
    assert not tally.failures, "\n".join(tally.failures)
    assert seldom(tally) == []
    assert untold(tally) == []
