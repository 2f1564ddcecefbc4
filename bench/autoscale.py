"""Arrivals through the scaling rules: backlog, tasks, delay, task-hours. The templates' numbers come from here.

    .venv/bin/python -m bench.autoscale

Replays three curves for each layer that scales: a bank's day, a burst of fifty times the usual for ten minutes, and two
hours in which nobody works, with everything to catch up. The rules are those of `deploy/ecs/scaling.yaml`, as
production has them. For comparison: a target of half and of twice as much, and as many tasks all the time as the
curve's peak needs. Prints the tables of `docs/scaling.md`.

How the rules work is AWS's: target tracking asks for more when the metric is above its target for three minutes in a
row, for so many tasks that each would have the target again, and takes tasks away when it is a tenth below for fifteen.
SQS's and Container Insights' figures are a minute old when they are looked at. That it takes away at most half of the
tasks at once is assumed. A task that is asked for receives after `START_SECONDS`. One that is taken away drains: it
receives no more, works on for `DRAIN_SECONDS`, and what it then still has goes back to the queue, to the others.

Delay is from a message's arrival to a task's beginning with it; the batch's own age comes on top.
"""

import argparse
import math
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from bench.autoscale_tasks import STEP_SECONDS, Crew, Part
from bench.scaling_rules import Rule, read_rules, read_task

MINUTE = 60
HOUR = 3_600
START_SECONDS = 75
"""Fargate's pull and start, the process's start, the first poll: measured for the process, assumed for the rest."""
OUT_MINUTES, IN_MINUTES = 3, 15
"""Data points above, below: https://docs.aws.amazon.com/autoscaling/application/userguide (target tracking)."""
IN_SHARE = 0.9
FIGURES_AGE_MINUTES = 1
REACTION_SECONDS = (OUT_MINUTES + FIGURES_AGE_MINUTES) * MINUTE + START_SECONDS
"""From the first minute above the target to the first receive of a task more."""
MONTH_HOURS = 730
NOTHING = 1e-6
"""Of a message: what sums of parts leave."""

Curve = Callable[[float], float]
"""Seconds since the beginning → arrivals a second, in units of a task's rate."""


@dataclass(frozen=True, slots=True)
class Story:
    """A curve, how long it is watched, and when nobody works."""

    name: str
    curve: Curve
    hours: float
    stopped: tuple[float, float] = (0.0, 0.0)

    @property
    def peak(self) -> float:
        """Tasks that do the most that arrives at once, without a backlog."""
        return max(self.curve(minute * MINUTE) for minute in range(int(self.hours * 60)))


@dataclass(frozen=True, slots=True)
class Told:
    """What came of it. Delays in seconds; late is what waited longer than is acceptable."""

    backlog_max: float
    tasks_max: int
    delay_max: float
    delay_95: float
    late_share: float
    late_minutes: float
    """In so many minutes something late was begun with."""
    given_back: float
    task_hours: float


@dataclass
class Scaling:
    """Target tracking: looks once a minute, and tells how many tasks there should be."""

    rule: Rule
    wanted: int
    figures: deque[float] = field(default_factory=lambda: deque(maxlen=IN_MINUTES + FIGURES_AGE_MINUTES))
    out_at: float = -math.inf
    moved_at: float = -math.inf

    def look(self, now: float, backlog: float, running: int) -> int:
        """Take down the figure, and act on those that are known by then: tasks more or less than before."""
        running = max(running, 1)
        self.figures.append(backlog / running)
        known = list(self.figures)[: len(self.figures) - FIGURES_AGE_MINUTES]
        target = self.rule.target
        above = known[-OUT_MINUTES:]
        below = len(known) >= IN_MINUTES and max(known[-IN_MINUTES:]) < IN_SHARE * target
        fits = math.ceil(running * known[-1] / target) if known else 0
        if len(above) == OUT_MINUTES and min(above) > target and now - self.out_at >= self.rule.out_cooldown_seconds:
            return self._want(max(fits, self.wanted), now)
        if below and now - self.moved_at >= self.rule.in_cooldown_seconds:
            return self._want(min(max(fits, running // 2), self.wanted), now)
        return 0

    def _want(self, tasks: int, now: float) -> int:
        tasks = min(max(tasks, self.rule.least), self.rule.most)
        change, self.wanted = tasks - self.wanted, tasks
        if change:
            self.moved_at = now
        if change > 0:
            self.out_at = now
        return change


def replayed(story: Story, rule: Rule) -> Told:
    """The story through the rule, to the last message."""
    crew, scaling, now = Crew(rule), Scaling(rule, rule.least), 0.0
    done: list[tuple[float, Part]] = []
    backlog_max, tasks_max, task_seconds = 0.0, 0, 0.0
    while now < story.hours * HOUR or crew.backlog > NOTHING:
        if now < story.hours * HOUR:
            crew.waiting.put((now, story.curve(now) * rule.rate * STEP_SECONDS))
        if not story.stopped[0] <= now < story.stopped[1]:
            done += [(now, part) for part in crew.step(now)]
        if now % MINUTE == 0:
            change = scaling.look(now, crew.backlog, crew.running(now))
            if change > 0:
                crew.add(change, now, START_SECONDS)
            elif change < 0:
                crew.remove(-change, now)
        backlog_max, tasks_max = max(backlog_max, crew.backlog), max(tasks_max, crew.running(now))
        task_seconds += len(crew.tasks) * STEP_SECONDS
        now += STEP_SECONDS
    return _told(done, rule, Told(backlog_max, tasks_max, 0, 0, 0, 0, crew.given_back, task_seconds / HOUR))


def _told(done: Sequence[tuple[float, Part]], rule: Rule, told: Told) -> Told:
    """With the delays."""
    delays = sorted((at - came_at, messages) for at, (came_at, messages) in done)
    total = sum(messages for _, messages in delays)
    seen, delay_95 = 0.0, 0.0
    for delay, messages in delays:
        seen += messages
        if seen >= 0.95 * total:
            delay_95 = delay
            break
    late = sum(messages for delay, messages in delays if delay > rule.delay_seconds)
    minutes = {at // MINUTE for at, (came_at, _) in done if at - came_at > rule.delay_seconds}
    return replace(
        told, delay_max=delays[-1][0], delay_95=delay_95, late_share=late / total, late_minutes=float(len(minutes))
    )


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
COLUMNS = (
    "arrivals", "tasks by", "backlog", "tasks", "longest", "95 %", "late", "minutes with late ones", "given back",
    "task-hours",
)  # fmt: skip


def ways(story: Story, rule: Rule) -> Iterator[tuple[str, Rule]]:
    """The rule as it is, others to compare, and a fixed number of tasks."""
    for factor in (1.0, 0.5, 2.0):
        yield f"target {rule.target * factor:,g}", replace(rule, target=rule.target * factor)
    peak = max(rule.least, math.ceil(story.peak))
    yield f"always {peak}", replace(rule, least=peak, most=peak)


def tables(rules: Sequence[Rule]) -> str:
    """A table for each layer, in Markdown."""
    return "\n".join(
        f"**{rule.layer}**: {rule.rate:g} a second a task, {rule.least} to {rule.most} tasks, late after "
        f"{rule.delay_seconds:g} s\n\n{_table(rule)}"
        for rule in rules
    )


def _table(rule: Rule) -> str:
    rows = [COLUMNS, ("---",) * len(COLUMNS)]
    for story in STORIES:
        for way, tried in ways(story, rule):
            told = replayed(story, tried)
            cells = (
                f"{told.backlog_max:,.0f}", f"{told.tasks_max}", f"{told.delay_max:,.0f} s", f"{told.delay_95:,.0f} s",
                f"{told.late_share:.1%}", f"{told.late_minutes:,.0f}", f"{told.given_back:,.0f}",
                f"{told.task_hours:.1f}",
            )  # fmt: skip
            rows.append((story.name, way, *cells))
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def sizes() -> str:
    """What one task of each layer takes of Fargate in a month, in Markdown."""
    rows = [("task", "vCPU", "GB", "vCPU-hours a month", "GB-hours a month"), ("---",) * 5]
    for layer in ("all", "land", "refine", "load", "quarantine"):
        size = read_task(layer)
        gigabytes = size.memory_bytes / 2**30
        hours = f"{size.cpus * MONTH_HOURS:,g}", f"{gigabytes * MONTH_HOURS:,g}"
        rows.append((layer, f"{size.cpus:g}", f"{gigabytes:g}", *hours))
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    sys.stdout.write(f"{tables(read_rules('prod'))}\n{sizes()}")
