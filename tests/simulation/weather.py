"""Which fault comes now: the plan's, counted point by point, and all of them over once the weather turns fine."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

from tests.simulation.faults import Fault
from tests.simulation.plan import Plan

Act = Callable[[], Awaitable[object]]


class Weather:
    """Shared by all processes of a run; the stores' side of what is under way lives on when a process dies."""

    def __init__(self, plan: Plan) -> None:
        self._waiting = {(fault.point, fault.nth): fault for fault in reversed(plan.faults)}
        self._outages = [fault for fault in plan.faults if fault.kind == "outage"]
        self._seen: Counter[str] = Counter()
        self._under_way: set[asyncio.Task[object]] = set()
        self.fine = False
        self.fired: list[Fault] = []

    def now(self, point: str) -> Fault | None:
        """What befalls this call."""
        nth = self._seen[point]
        self._seen[point] += 1
        return None if self.fine else self._waiting.get((point, nth))

    def happens(self, fault: Fault) -> None:
        """It does: note it."""
        self.fired.append(fault)

    def never_mind(self, fault: Fault) -> None:
        """There was nothing to do it to: it comes at the next call instead."""
        self.fired.remove(fault)
        self._waiting.setdefault((fault.point, self._seen[fault.point]), fault)

    def keep(self, wanted: Callable[[Fault], bool]) -> None:
        """Forget those that have not come yet and are not wanted any more."""
        self._waiting = {place: fault for place, fault in self._waiting.items() if wanted(fault)}
        self._outages = [fault for fault in self._outages if wanted(fault)]

    def away(self, *names: str) -> bool:
        """Whether a dependency, or what is asked of it, cannot be had at this moment."""
        now = asyncio.get_running_loop().time()
        for fault in [] if self.fine else self._outages:
            if fault.point.removesuffix(" away") in names and fault.at <= now < fault.at + fault.seconds:
                if fault not in self.fired:
                    self.happens(fault)
                return True
        return False

    def later(self, seconds: float, act: Act) -> None:
        """The other side does it after a while, whatever becomes of the caller."""

        async def do() -> object:
            await asyncio.sleep(seconds)
            return await act()

        task = asyncio.ensure_future(do())
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    @property
    def settled(self) -> bool:
        """Whether nothing is under way any more."""
        return not self._under_way
