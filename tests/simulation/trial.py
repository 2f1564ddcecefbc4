"""One seed tried: run, checked, and where it fails, told in a way that somebody can work with."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.fakes.time import StuckError
from tests.simulation.check import check
from tests.simulation.course import simulate
from tests.simulation.faults import Fault
from tests.simulation.plan import Plan
from tests.simulation.run import BrokenError, Run
from tests.simulation.shrink import shrunk

Pair = tuple[str, str]
SHRUNK_MAX = 3
"""Of so many failures that come together the causes are looked for; the others are named alone."""


@dataclass
class Tally:
    """What many seeds came to."""

    seeds: int = 0
    fired: Counter[Pair] = field(default_factory=Counter)
    told: Counter[str] = field(default_factory=Counter)
    """In how many runs the service told of what."""
    failures: list[str] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        """What other seeds came to."""
        self.seeds += other.seeds
        self.fired.update(other.fired)
        self.told.update(other.told)
        self.failures += other.failures


def tried(seeds: Iterable[int]) -> Tally:
    """Try these; after a failure the others are tried all the same."""
    tally = Tally()
    for seed in seeds:
        tally.seeds += 1
        plan = Plan.of(seed)
        try:
            run = passed(plan)
        except Exception as wrong:  # noqa: BLE001 (a bug of the service may raise anything)
            small = len(tally.failures) < SHRUNK_MAX
            tally.failures.append(told(plan, wrong) if small else f"seed {seed}: {type(wrong).__name__}: {wrong}")
        else:
            tally.fired.update({(fault.point, fault.kind) for fault in run.fired})
            tally.told.update({type(event).__name__ for process in run.processes for event in process.told})
    return tally


def passed(plan: Plan) -> Run:
    """The run of a plan that keeps every promise; raises BrokenError otherwise."""
    try:
        run = simulate(plan)
    except StuckError as stuck:
        raise BrokenError(f"I7: nothing moves any more {stuck}") from stuck
    except BaseExceptionGroup as group:
        raise _first(group) from group
    check(run)
    return run


def told(plan: Plan, wrong: Exception) -> str:
    """The seed, what broke, the fewest faults that break it, and the command that does it again."""
    small = shrunk(plan, _fails)
    return "\n".join(
        [
            f"seed {plan.seed}: {type(wrong).__name__}: {wrong}",
            *(f"  {fault}" for fault in small.faults),
            f"again: .venv/bin/python -m tests.simulation --seed {plan.seed} {replay(small.faults)}",
        ]
    )


def replay(faults: tuple[Fault, ...]) -> str:
    """Faults as the command line takes them."""
    return "--faults " + "'" + ",".join(map(str, faults)) + "'"


def _fails(plan: Plan) -> bool:
    try:
        passed(plan)
    except Exception:  # noqa: BLE001 (a bug of the service may raise anything)
        return True
    return False


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
