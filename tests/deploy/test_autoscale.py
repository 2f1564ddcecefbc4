"""The scaling rules, replayed with the templates' numbers; those and the document are held to what was measured."""

import math
from dataclasses import replace

import pytest

from bench.autoscale import (
    COLUMNS,
    HOUR,
    MINUTE,
    REACTION_SECONDS,
    STORIES,
    Story,
    Told,
    replayed,
    sizes,
    tables,
)
from bench.autoscale_tasks import DRAIN_SECONDS, STEP_SECONDS, Crew
from bench.rate_figures import FILE, markdown, read
from bench.scaling_rules import Rule, read_rules, read_task
from service.settings import PROJECT

DOCUMENT = PROJECT / "docs" / "scaling.md"
SHARE_MAX = 0.5
"""Of what was measured a template may count on so much: TLS, AWS's latency and a slower processor are not measured."""
DAY_SHARE_MAX = 1.5
RULES = {rule.layer: rule for rule in read_rules("prod")}
DAY, BURST, STOP = STORIES
BURST_SECONDS = 600


@pytest.fixture(scope="module", params=[*RULES.values()], ids=[*RULES])
def rule(request: pytest.FixtureRequest) -> Rule:
    given: Rule = request.param
    return given


def test_a_rate_is_at_most_half_of_what_was_measured_of_such_a_task(rule: Rule) -> None:
    size = read_task(rule.layer)
    figures = read().of(rule.layer, size.cpus)
    assert len(figures) >= 2
    for one in figures:
        assert (one.memory_bytes, one.threads) == (size.memory_bytes, size.threads), "measure again: bench/rate.py"
        assert rule.rate <= SHARE_MAX * one.at_full_use, one.work


def test_the_document_shows_what_was_measured() -> None:
    measured = read()
    text = DOCUMENT.read_text(encoding="utf-8")
    assert markdown(measured) in text, f"python -m bench.rate --show, from {FILE.name}"
    assert f"{measured.on}" in text


def test_the_document_shows_the_replays() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    for told in (tables([*RULES.values()]), sizes()):
        assert told in text, "python -m bench.autoscale prints what belongs there"
    assert all(f"| {column} |" in text for column in COLUMNS)


def test_on_a_banks_day_hardly_anything_waits_longer_than_is_acceptable(rule: Rule) -> None:
    told = replayed(DAY, rule)
    assert told.delay_95 <= rule.delay_seconds
    assert told.delay_max <= DAY_SHARE_MAX * rule.delay_seconds


def test_a_burst_waits_for_the_tasks_that_it_needs_and_no_longer(rule: Rule) -> None:
    told = replayed(BURST, rule)
    assert told.tasks_max >= math.ceil(BURST.peak), "the most tasks are enough for it"
    # What comes before the new tasks receive is done by the least alone.
    assert told.delay_max <= (BURST.peak - rule.least) * (REACTION_SECONDS + MINUTE) / rule.least + STEP_SECONDS
    assert told.late_minutes * MINUTE <= BURST_SECONDS + told.delay_max


def test_a_stop_is_caught_up_as_soon_as_the_most_tasks_can(rule: Rule) -> None:
    told = replayed(STOP, rule)
    usual = STOP.curve(0)
    stopped_seconds = STOP.stopped[1] - STOP.stopped[0]
    ideal_seconds = usual * stopped_seconds / (rule.most - usual)
    assert told.tasks_max == rule.most
    assert ideal_seconds - rule.delay_seconds <= told.late_minutes * MINUTE <= ideal_seconds + REACTION_SECONDS


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_scaling_costs_less_than_tasks_for_the_peak_or_catches_up_sooner(rule: Rule, story: Story) -> None:
    peak = max(rule.least, math.ceil(story.peak))
    scaling, fixed = replayed(story, rule), replayed(story, replace(rule, least=peak, most=peak))
    assert scaling.task_hours < fixed.task_hours or scaling.late_minutes < fixed.late_minutes


def test_a_replay_is_the_same_every_time(rule: Rule) -> None:
    assert replayed(BURST, rule) == replayed(BURST, rule)


def test_everything_that_arrives_is_done_whatever_tasks_come_and_go() -> None:
    restless = replace(RULES["refine"], rate=0.1, target=12.0, in_cooldown_seconds=0.0, in_flight=1_000.0)
    waves = Story("waves", lambda s: 4.0 if s % HOUR < BURST_SECONDS else 0.0, 4)
    told = replayed(waves, restless)
    assert told.tasks_max > restless.least
    assert told.task_hours < 4 * told.tasks_max
    came = sum(waves.curve(at) * restless.rate * STEP_SECONDS for at in range(0, 4 * HOUR, STEP_SECONDS))
    assert _done(waves, restless) == pytest.approx(came)


def _done(story: Story, rule: Rule) -> float:
    """Messages that a crew does whose tasks come and go every few minutes."""
    crew, done, now = Crew(rule), 0.0, 0.0
    while now < story.hours * HOUR or crew.backlog > 0:
        if now < story.hours * HOUR:
            crew.waiting.put((now, story.curve(now) * rule.rate * STEP_SECONDS))
        if now % (10 * MINUTE) == 0:
            crew.add(1, now, 0)
        if now % (10 * MINUTE) == 5 * MINUTE:
            crew.remove(1, now)
        done += sum(part for _, part in crew.step(now))
        now += STEP_SECONDS
    assert crew.given_back > 0
    return done


def test_a_task_that_goes_works_on_for_its_drain_and_gives_the_rest_back_in_its_place() -> None:
    crew = Crew(replace(RULES["refine"], rate=1.0, least=1, most=2, in_flight=500.0))
    crew.waiting.put((0.0, 500.0))
    crew.step(0)
    crew.waiting.put((1.0, 500.0))
    crew.remove(1, 5)
    crew.add(1, 5, 0)
    assert crew.waiting.total == 500, "the one that goes holds the other half"
    crew.waiting.put((2.0, 500.0))
    done = {False: 0.0, True: 0.0}
    now = 5.0
    while now < 5 + DRAIN_SECONDS:
        for came_at, part in crew.step(now):
            done[came_at > 0] += part
        now += STEP_SECONDS
    assert done == {False: DRAIN_SECONDS, True: DRAIN_SECONDS}, "side by side"
    crew.step(now)
    assert crew.given_back == 500 - DRAIN_SECONDS - STEP_SECONDS
    assert crew.waiting.take(1)[0][0] == 0.0, "it is the oldest that waits"


def test_a_full_task_takes_nothing_and_stores_what_it_has() -> None:
    land = replace(RULES["land"], rate=10.0, least=1, batch_seconds=60.0, in_flight=100.0)
    crew = Crew(land)
    crew.waiting.put((0.0, 1_000.0))
    held = []
    for step in range(6):
        crew.step(step * STEP_SECONDS)
        held.append(crew.tasks[0].held)
    assert held == [50, 100, 50, 100, 50, 100]
    assert crew.waiting.total == 1_000 - 6 * 50


def test_what_was_told_adds_up(rule: Rule) -> None:
    told: Told = replayed(STOP, rule)
    assert told.delay_max >= told.delay_95 > 0
    assert told.task_hours >= rule.least * STOP.hours
    assert 0 < told.late_share < 1
