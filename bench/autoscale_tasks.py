"""Tasks at a queue in a simulation: what each has in hand, what it gets done, and what it gives back when it goes.

Messages are amounts, not things: half a message is none. A task takes no more than it has room for. Land takes what it
works off at once, because receiving is its work; refine takes notices ahead of its work, and no other task gets those.
What was worked on stays in hand until its batch is stored.
"""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain

from bench.scaling_rules import Rule

STEP_SECONDS = 5
DRAIN_SECONDS = 90.0
"""So long a task that was told to stop works on: ACEQUIA_DRAIN_SECONDS_MAX, but for the end, when it gives back."""

Part = tuple[float, float]
"""When it came, and how many messages."""


class Line:
    """Messages, the oldest first."""

    def __init__(self) -> None:
        self._parts: deque[Part] = deque()
        self.total = 0.0

    def put(self, part: Part) -> None:
        """At the end."""
        if part[1] > 0:
            self._parts.append(part)
            self.total += part[1]

    def take(self, amount: float) -> list[Part]:
        """As many as that, or all there are."""
        taken: list[Part] = []
        while amount > 0 and self._parts:
            came_at, there = self._parts.popleft()
            now = min(there, amount)
            taken.append((came_at, now))
            amount -= now
            if now < there:
                self._parts.appendleft((came_at, there - now))
        self.total = self.total - sum(part for _, part in taken) if self._parts else 0.0
        return taken

    def give_back(self, parts: Sequence[Part]) -> None:
        """Where they belong by age."""
        merged = sorted(chain(parts, self._parts))
        self._parts = deque(merged)
        self.total = sum(part for _, part in merged)


@dataclass(slots=True)
class Task:
    """One task. `works_from` is when it receives first; `ends_at` when its drain is over, if it was told to stop."""

    rule: Rule
    asked_at: float
    works_from: float
    ends_at: float = math.inf
    taken: Line = field(default_factory=Line)
    stored_at: deque[Part] = field(default_factory=deque)

    @property
    def held(self) -> float:
        """What SQS counts as in flight for it."""
        return self.taken.total + sum(part for _, part in self.stored_at)

    def stop(self, now: float) -> None:
        """Receive no more, store what is in open batches."""
        self.ends_at = now + DRAIN_SECONDS
        self.stored_at.clear()

    def runs(self, now: float) -> bool:
        """Whether ECS counts it."""
        return self.works_from <= now and self.ends_at == math.inf

    def gone(self, now: float) -> bool:
        """Whether its drain is over."""
        return self.ends_at < math.inf and (now >= self.ends_at or not self.taken.total)

    def wants(self) -> float:
        """How many messages it takes now. Where it is full, its open batches are stored at once."""
        ahead = math.inf if self.rule.takes_ahead else self.rule.rate * STEP_SECONDS - self.taken.total
        if self.held + min(ahead, self.rule.rate * STEP_SECONDS) > self.rule.in_flight:
            self.stored_at.clear()
        return max(0.0, min(ahead, self.rule.in_flight - self.held))

    def work(self, now: float) -> list[Part]:
        """A step's work: what it did of what it has taken."""
        while self.stored_at and self.stored_at[0][0] <= now:
            self.stored_at.popleft()
        done = self.taken.take(self.rule.rate * STEP_SECONDS)
        if done and self.ends_at == math.inf:
            self.stored_at.append((now + self.rule.batch_seconds, sum(part for _, part in done)))
        return done


class Crew:
    """All tasks of a layer, and its queue."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self.waiting = Line()
        self.tasks = [Task(rule, 0.0, 0.0) for _ in range(rule.least)]
        self.given_back = 0.0

    @property
    def backlog(self) -> float:
        """Waiting or in hand, as SQS counts."""
        return self.waiting.total + sum(task.held for task in self.tasks)

    def running(self, now: float) -> int:
        """As Container Insights counts."""
        return sum(task.runs(now) for task in self.tasks)

    def add(self, count: int, now: float, start_seconds: float) -> None:
        """Ask for more tasks."""
        self.tasks += [Task(self._rule, now, now + start_seconds) for _ in range(count)]

    def remove(self, count: int, now: float) -> None:
        """Tell so many to stop: those that hold the most, as the worst that ECS could choose."""
        staying = [task for task in self.tasks if task.ends_at == math.inf]
        for task in sorted(staying, key=lambda one: one.taken.total, reverse=True)[:count]:
            task.stop(now)

    def step(self, now: float) -> list[Part]:
        """Receive and work; what was done."""
        receiving = [task for task in self.tasks if task.runs(now)]
        wanted = [task.wants() for task in receiving]
        share = min(1.0, self.waiting.total / sum(wanted)) if sum(wanted) else 0.0
        for task, wants in zip(receiving, wanted, strict=True):
            for part in self.waiting.take(wants * share):
                task.taken.put(part)
        done = [part for task in self.tasks if task.works_from <= now < task.ends_at for part in task.work(now)]
        for task in [one for one in self.tasks if one.gone(now)]:
            self.given_back += task.taken.total
            self.waiting.give_back(task.taken.take(math.inf))
            self.tasks.remove(task)
        return done
