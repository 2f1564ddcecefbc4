"""Of a plan that fails, the fewest faults that still fail: halves first, then quarters, down to single ones.

Delta debugging (Zeller): what is left cannot lose any one fault without passing. Which promise breaks does not matter.
"""

from collections.abc import Callable, Sequence

from tests.simulation.faults import Fault
from tests.simulation.plan import Plan

RUNS_MAX = 200


def shrunk(plan: Plan, fails: Callable[[Plan], bool]) -> Plan:
    """The smaller plan. `fails` runs one; the plan given fails."""
    faults: Sequence[Fault] = plan.faults
    pieces, runs = 2, 0
    while len(faults) > 0 and runs < RUNS_MAX:
        size = max(1, -(-len(faults) // pieces))
        for start in range(0, len(faults), size):
            rest = [*faults[:start], *faults[start + size :]]
            runs += 1
            if fails(plan.but(rest)):
                faults, pieces = rest, max(2, pieces - 1)
                break
        else:
            if size == 1:
                break
            pieces = min(len(faults), pieces * 2)
    return plan.but(faults)
