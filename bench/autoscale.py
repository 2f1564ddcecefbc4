"""Arrivals through the scaling rules: backlog, tasks, delay, task-hours. The templates' numbers come from here.

    .venv/bin/python -m bench.autoscale [--land-rate 50] [--refine-rate 0.1]

Replays three curves for each layer that scales: a bank's day, a burst of fifty times the usual for ten minutes, and two
hours of stop with everything to catch up. The rules are those of `deploy/ecs/scaling.yaml`, as production has them; for
comparison the same with a target of half and of twice as much. A task's rate is
assumed, and to be measured where the service runs.

How the rules work is AWS's: target tracking asks for more when the metric is above its target for three minutes in a
row, for so many tasks that each would have the target again, and takes tasks away when it is a tenth below for fifteen.
SQS's and Container Insights' figures are a minute old when they are looked at. A task that is asked for works after
`START_SECONDS`; what one that goes gives back is not modelled. Delay is from arrival to the task's hands, first in,
first out; the batch's own age comes on top.
"""

import argparse
import math
import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from rich.console import Console
from rich.table import Table

from bench.scaling_rules import Rule, read_rules

STEP_SECONDS = 5
MINUTE = 60
HOUR = 3_600
START_SECONDS = 75
"""Fargate's pull and start, the process's start, the first poll: measured for the process, assumed for the rest."""
OUT_MINUTES, IN_MINUTES = 3, 15
"""Data points above, below: https://docs.aws.amazon.com/autoscaling/application/userguide (target tracking)."""
IN_SHARE = 0.9
FIGURES_AGE_MINUTES = 1

Curve = Callable[[float], float]
"""Seconds since the beginning → arrivals a second, in units of a task's rate."""


@dataclass(frozen=True, slots=True)
class Story:
    """A curve, how long it is watched, and when nobody works."""

    name: str
    curve: Curve
    hours: float
    stopped: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Told:
    """What came of it. Delays in seconds."""

    backlog_max: float
    tasks_max: int
    delay_max: float
    delay_95: float
    late_share: float
    task_hours: float


@dataclass
class Service:
    """A layer's tasks, its queue and its scaling, step by step."""

    rule: Rule
    running: int = 0
    wanted: int = 0
    starting: deque[float] = field(default_factory=deque)
    figures: deque[float] = field(default_factory=lambda: deque(maxlen=IN_MINUTES + FIGURES_AGE_MINUTES))
    out_at: float = -math.inf
    moved_at: float = -math.inf

    def __post_init__(self) -> None:
        self.running = self.wanted = self.rule.least

    def look(self, now: float, backlog: float) -> None:
        """Once a minute: take down the figure, and act on those that are known by then."""
        self.figures.append(backlog / max(self.running, 1))
        known = list(self.figures)[: len(self.figures) - FIGURES_AGE_MINUTES]
        target = self.rule.target
        above = known[-OUT_MINUTES:]
        below = len(known) >= IN_MINUTES and max(known[-IN_MINUTES:]) < IN_SHARE * target
        fits = math.ceil(max(self.running, 1) * known[-1] / target) if known else 0
        if len(above) == OUT_MINUTES and min(above) > target and now - self.out_at >= self.rule.out_cooldown_seconds:
            self._want(fits, now, out=True)
        elif below and now - self.moved_at >= self.rule.in_cooldown_seconds:
            self._want(max(fits, self.running // 2), now, out=False)

    def step(self, now: float) -> None:
        """Tasks that have started work."""
        while self.starting and self.starting[0] <= now:
            self.starting.popleft()
            self.running += 1

    def _want(self, tasks: int, now: float, *, out: bool) -> None:
        tasks = min(max(tasks, self.rule.least), self.rule.most)
        if out and tasks > self.wanted:
            self.starting.extend([now + START_SECONDS] * (tasks - self.wanted))
            self.wanted, self.out_at, self.moved_at = tasks, now, now
        elif not out and tasks < self.wanted:
            self.running = self.wanted = tasks
            self.moved_at = now


def replayed(story: Story, rule: Rule) -> Told:
    """The story through the rule."""
    service, backlog, now = Service(rule), 0.0, 0.0
    arrivals: deque[tuple[float, float]] = deque()
    delays: list[tuple[float, float]] = []
    backlog_max, tasks_max, task_seconds = 0.0, 0, 0.0
    while now < story.hours * HOUR or backlog > rule.rate * STEP_SECONDS:
        came = story.curve(now) * rule.rate * STEP_SECONDS if now < story.hours * HOUR else 0.0
        arrivals.append((now, came))
        backlog += came
        works = not story.stopped[0] <= now < story.stopped[1]
        done = min(backlog, service.running * rule.rate * STEP_SECONDS) if works else 0.0
        backlog -= done
        delays += _served(arrivals, done, now)
        backlog_max, tasks_max = max(backlog_max, backlog), max(tasks_max, service.running)
        task_seconds += service.wanted * STEP_SECONDS
        service.step(now)
        if now % MINUTE == 0:
            # What is in hand counts too: a minute's messages, in a batch that fills.
            service.look(now, backlog + (done / STEP_SECONDS) * rule.batch_seconds)
        now += STEP_SECONDS
    return _told(delays, rule, backlog_max, tasks_max, task_seconds / HOUR)


def _served(arrivals: deque[tuple[float, float]], done: float, now: float) -> list[tuple[float, float]]:
    """(delay, messages) of those that are taken now, the oldest first."""
    taken = []
    while done > 0 and arrivals:
        came_at, messages = arrivals[0]
        part = min(messages, done)
        taken.append((now - came_at, part))
        done -= part
        if part == messages:
            arrivals.popleft()
        else:
            arrivals[0] = (came_at, messages - part)
    return taken


def _told(delays: list[tuple[float, float]], rule: Rule, backlog: float, tasks: int, task_hours: float) -> Told:
    ordered = sorted(delays)
    total = sum(messages for _, messages in ordered)
    seen, delay_95 = 0.0, 0.0
    for delay, messages in ordered:
        seen += messages
        if seen >= 0.95 * total:
            delay_95 = delay
            break
    late = sum(messages for delay, messages in ordered if delay > rule.delay_seconds)
    return Told(backlog, tasks, ordered[-1][0], delay_95, late / total, task_hours)


def between(points: Sequence[tuple[float, float]]) -> Curve:
    """Straight lines between (hour, arrivals)."""

    def curve(seconds: float) -> float:
        hour = seconds / HOUR
        for (start, low), (end, high) in pairwise(points):
            if start <= hour < end:
                return low + (high - low) * (hour - start) / (end - start)
        return points[-1][1]

    return curve


DAY = between([(0, 0.05), (6, 0.05), (9, 1.6), (12, 2.4), (13, 1.4), (15, 2.2), (18, 1.0), (22, 0.2), (24, 0.05)])
"""Nobody's night, a morning's rise, lunch, an afternoon: at its peak somewhat more than the least tasks can do."""
STORIES = (
    Story("a bank's day", DAY, 24),
    Story("a burst of 50 times", lambda s: 0.1 * (50 if HOUR <= s < HOUR + 600 else 1), 3),
    Story("two hours of stop", lambda _: 0.8, 8, stopped=(HOUR, 3 * HOUR)),
)


def main(rules: Sequence[Rule]) -> None:
    """Print each layer's table."""
    for rule in rules:
        table = Table(title=f"{rule.layer}: {rule.rate:g} a second a task, {rule.least} to {rule.most} tasks")
        for column in ("arrivals", "target a task", "backlog", "tasks", "longest", "95 %", "late", "task-hours"):
            table.add_column(column, justify="right")
        for story in STORIES:
            for factor in (0.5, 1.0, 2.0):
                tried = replace(rule, target=rule.target * factor)
                told = replayed(story, tried)
                table.add_row(
                    story.name,
                    f"{tried.target:,.0f}{' *' if factor == 1 else ''}",
                    f"{told.backlog_max:,.0f}",
                    f"{told.tasks_max}",
                    f"{told.delay_max:,.0f} s",
                    f"{told.delay_95:,.0f} s",
                    f"{told.late_share:.1%}",
                    f"{told.task_hours:.1f}",
                )
        Console().print(table)
    Console().print("* as in deploy/ecs/scaling.yaml. Late: more than the acceptable delay before a task has it.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = read_rules("prod")
    for one in known:
        parser.add_argument(f"--{one.layer}-rate", type=float, default=one.rate, help="messages a second a task")
    given = vars(parser.parse_args())
    main([replace(one, rate=given[f"{one.layer}_rate"]) for one in known])
    sys.exit(0)
