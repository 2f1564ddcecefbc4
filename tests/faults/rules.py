"""Which calls meet which fault: by service, operation, target and count."""

import asyncio
import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.faults.calls import Action, Call


@dataclass(eq=False)
class Rule:
    """One fault. It lets `skip` calls pass, then takes `times` of them (None: all) until it is lifted."""

    name: str
    matches: Callable[[Call], bool]
    action: Action
    skip: int
    times: int | None
    fired: int = 0
    happened: asyncio.Event = field(default_factory=asyncio.Event)
    lifted: bool = False

    def lift(self) -> None:
        """Do it no more."""
        self.lifted = True

    def take(self, call: Call) -> bool:
        """Whether this call meets the fault; counts."""
        if self.lifted or self.fired == self.times or not self.matches(call):
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.fired += 1
        self.happened.set()
        return True


class Rules:
    """The faults that are armed. Of several that match, the one armed first happens."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []
        self._numbers = itertools.count(1)

    def on(
        self,
        operation: str,
        do: Action,
        *,
        service: str = "",
        target: str = "",
        worker: str = "",
        skip: int = 0,
        times: int | None = 1,
    ) -> Rule:
        """Arm a fault. `operation` and `target` are regular expressions, searched for; an empty text is any."""
        wanted, place = re.compile(operation), re.compile(target)

        def matches(call: Call) -> bool:
            return (
                service in ("", call.service)
                and worker in ("", call.worker.name)
                and wanted.search(call.operation) is not None
                and place.search(call.target) is not None
            )

        rule = Rule(f"{next(self._numbers)} {operation or service}", matches, do, skip, times)
        self._rules.append(rule)
        return rule

    def lift(self) -> None:
        """Lift all of them: the world is well again."""
        for rule in self._rules:
            rule.lift()

    def met(self, call: Call) -> Rule | None:
        """The rule that this call meets."""
        return next((rule for rule in self._rules if rule.take(call)), None)
