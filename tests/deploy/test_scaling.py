"""The expressions that stand in the templates, against examples worked by hand."""

from collections.abc import Mapping
from typing import Any

import pytest

from service.settings import Settings
from tests.deploy.metric_math import UnknownError, Value, evaluate
from tests.deploy.templates import LAYERS, stacks, template

SCALED = ("land", "refine")
ALARMS = ("service", "queue-alarms", "alarms")


def policy(layer: str, environment: str = "prod") -> Mapping[str, Any]:
    made = stacks(environment, Layer=layer)["scaling"].of_type("AWS::ApplicationAutoScaling::ScalingPolicy")
    tracking: Mapping[str, Any] = made["Backlog"]["TargetTrackingScalingPolicyConfiguration"]
    return tracking


def expression(queries: list[Mapping[str, Any]]) -> str:
    """The one whose value counts; every name in it must be a query beside it, and no query is idle."""
    [told] = [one["Expression"] for one in queries if one["ReturnData"]]
    evaluate(told, {one["Id"]: 1.0 for one in queries if "MetricStat" in one})
    assert all(one["Id"] in told for one in queries if "MetricStat" in one)
    return str(told)


BACKLOG = [
    # waiting, in hand, tasks → for each task
    (0, 0, 1, 0),
    (9_000, 0, 1, 9_000),
    (6_000, 3_000, 1, 9_000),
    (6_000, 3_000, 3, 3_000),
    (100, 0, 0, 100),  # without tasks a backlog counts as one task's
    (100, 0, None, 100),  # as where Container Insights says nothing
    (0, 0, None, 0),
    (None, 0, 2, None),  # without a word of SQS there is no figure, and nothing changes
    (10, None, 2, None),
    (None, None, None, None),
]


@pytest.mark.parametrize("layer", SCALED)
@pytest.mark.parametrize(("waiting", "in_hand", "tasks", "expected"), BACKLOG)
def test_backlog_for_each_task(layer: str, waiting: Value, in_hand: Value, tasks: Value, expected: Value) -> None:
    told = expression(policy(layer)["CustomizedMetricSpecification"]["Metrics"])
    assert evaluate(told, {"waiting": waiting, "in_hand": in_hand, "tasks": tasks}) == expected


@pytest.mark.parametrize("layer", SCALED)
@pytest.mark.parametrize(
    ("now", "before", "expected"), [(None, 3, 3_000), (2, 3, 4_500), (None, 0, 9_000), (0, 3, 9_000)]
)
def test_tasks_are_those_of_the_minute_before_until_they_are_told(
    layer: str, now: Value, before: Value, expected: Value
) -> None:
    told = expression(policy(layer)["CustomizedMetricSpecification"]["Metrics"])
    assert evaluate(told, {"waiting": 6_000, "in_hand": 3_000, "tasks": now}, {"tasks": before}) == expected


@pytest.mark.parametrize("layer", SCALED)
def test_it_looks_at_its_own_queue_and_service(layer: str) -> None:
    queries = {one["Id"]: one for one in policy(layer)["CustomizedMetricSpecification"]["Metrics"]}
    queue = {"land": "acequia-prod-records", "refine": "acequia-prod-refine"}[layer]
    seen = {
        name: (
            one["MetricStat"]["Metric"]["MetricName"],
            [d["Value"] for d in one["MetricStat"]["Metric"]["Dimensions"]],
        )
        for name, one in queries.items()
        if "MetricStat" in one
    }
    assert seen == {
        "waiting": ("ApproximateNumberOfMessagesVisible", [queue]),
        "in_hand": ("ApproximateNumberOfMessagesNotVisible", [queue]),
        "tasks": ("RunningTaskCount", ["acequia-prod", f"acequia-prod-{layer}"]),
    }
    assert queries["tasks"]["MetricStat"]["Metric"]["Namespace"] == "ECS/ContainerInsights"
    service = stacks("prod", Layer=layer)["service"].of_type("AWS::ECS::Service")["Service"]
    assert service["ServiceName"] == seen["tasks"][1][1]


@pytest.mark.parametrize("layer", SCALED)
def test_a_target_is_what_one_task_works_off_in_the_delay_that_is_acceptable(layer: str) -> None:
    rule = template("scaling")["Mappings"]["Rules"][layer]
    assert rule["Target"] == float(rule["RatePerTask"]) * float(rule["DelaySeconds"])
    assert policy(layer)["TargetValue"] == rule["Target"]


@pytest.mark.parametrize("environment", ["sandbox", "dev", "test", "prod"])
@pytest.mark.parametrize("layer", SCALED)
def test_the_least_is_not_above_the_most_and_production_never_has_less_than_two(layer: str, environment: str) -> None:
    mappings = template("scaling")["Mappings"]
    least, most = mappings["Least"][environment][layer], mappings["Most"][environment][layer]
    assert 1 <= least <= most
    assert environment != "prod" or least >= 2


def test_load_does_not_scale() -> None:
    assert template("scaling")["Parameters"]["Layer"]["AllowedValues"] == list(SCALED)


STUCK = [
    # waiting, done → stuck
    (5, 0, 1),
    (5, None, 1),  # SQS tells of no deletion at all
    (5, 1, 0),
    (0, 0, 0),
    (None, None, 0),  # nor of the queue, which was empty for hours
]
WATCHED = {
    "all": (["records", "refine", "refine-dlq"], ["load"]),
    "land": (["records"], []),
    "refine": (["refine"], []),
    "load": (["load"], []),
    "quarantine": (["records-dlq", "refine-dlq", "load-dlq"], []),
}
"""By layer: the queues of the alarm `Stuck`, and of `LoadStuck`."""


def stuck(layer: str) -> list[tuple[Mapping[str, Any], list[str]]]:
    """The alarms on silence, each with the queues that it shall watch."""
    alarms = stacks("dev", Layer=layer)["service"].of_type("AWS::CloudWatch::Alarm")
    found = zip((alarms.get("Stuck"), alarms.get("LoadStuck")), WATCHED[layer], strict=True)
    assert all(bool(alarm) == bool(queues) for alarm, queues in found)
    return [
        (alarms[name], queues) for name, queues in zip(("Stuck", "LoadStuck"), WATCHED[layer], strict=True) if queues
    ]


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize(("waiting", "done", "expected"), STUCK)
def test_stuck_is_whoever_has_a_backlog_and_gets_nothing_done(
    layer: str, waiting: Value, done: Value, expected: Value
) -> None:
    for alarm, queues in stuck(layer):
        told = expression(alarm["Metrics"])
        ids: dict[str, dict[str, str]] = {queue: {} for queue in queues}
        for one in alarm["Metrics"]:
            if "MetricStat" in one:
                metric = one["MetricStat"]["Metric"]
                [dimension] = metric["Dimensions"]
                ids[dimension["Value"].removeprefix("acequia-dev-")][metric["MetricName"]] = one["Id"]
        at_rest = {name: 0.0 for each in ids.values() for name in each.values()}
        for each in ids.values():
            mine = {
                each["ApproximateNumberOfMessagesVisible"]: waiting,
                each["NumberOfMessagesDeleted"]: done,
            }
            value = evaluate(told, {**at_rest, **mine})
            assert value == expected
            assert (value is not None and value > alarm["Threshold"]) == (expected == 1)


def test_load_may_be_silent_for_longer_than_a_statement_may_take() -> None:
    statement = Settings.model_fields["warehouse_statement_seconds_max"].default
    for layer in ("all", "load"):
        *_, (alarm, queues) = stuck(layer)
        assert queues == ["load"]
        assert alarm["EvaluationPeriods"] * 300 > statement


LETTERS = [
    # sent, seen waiting, received → letters
    (None, None, None, 0),
    (3, None, None, 3),
    (None, 2, None, 2),
    (None, 0, 2, 2),  # SQS moved them, and a long poll took them at once
    (3, 2, 3, 3),
    (0, 0, 0, 0),
]


@pytest.mark.parametrize("queue", ["Records", "Refine", "Load"])
@pytest.mark.parametrize(("sent", "seen", "received", "expected"), LETTERS)
def test_dead_letters(queue: str, sent: Value, seen: Value, received: Value, expected: Value) -> None:
    alarm = stacks("prod")["queue-alarms"].of_type("AWS::CloudWatch::Alarm")[f"{queue}Letters"]
    assert evaluate(expression(alarm["Metrics"]), {"sent": sent, "seen": seen, "received": received}) == expected
    read = {one["MetricStat"]["Metric"]["MetricName"] for one in alarm["Metrics"] if "MetricStat" in one}
    assert "NumberOfMessagesReceived" in read


IO = [(None, None, None, 0), (5, None, 2, 7), (1, 2, 3, 6)]


@pytest.mark.parametrize(("received", "sent", "written", "expected"), IO)
def test_bytes_moved_are_held_against_what_is_usual(
    received: Value, sent: Value, written: Value, expected: Value
) -> None:
    alarm = stacks("prod", Layer="refine")["service"].of_type("AWS::CloudWatch::Alarm")["Io"]
    told = {one["Id"]: one["Expression"] for one in alarm["Metrics"] if "Expression" in one}
    assert evaluate(told["moved"], {"received": received, "sent": sent, "written": written}) == expected
    assert (told[alarm["ThresholdMetricId"]], alarm["ComparisonOperator"]) == (
        "ANOMALY_DETECTION_BAND(moved, 4)",
        "GreaterThanUpperThreshold",
    )


def test_every_expression_of_every_alarm_is_one_that_was_tried() -> None:
    tried = {"Stuck", "LoadStuck", "Io", "RecordsLetters", "RefineLetters", "LoadLetters"}
    made = stacks("prod", Layer="all")
    found = {
        name
        for stack in ALARMS
        for name, one in made[stack].of_type("AWS::CloudWatch::Alarm").items()
        if "Metrics" in one
    }
    assert found == tried


def test_the_evaluator_refuses_what_it_does_not_know() -> None:
    with pytest.raises(UnknownError):
        evaluate("SUM(METRICS())", {})
    with pytest.raises(KeyError):
        evaluate("waiting / others", {"waiting": 1.0})
    assert evaluate("a / b", {"a": 1.0, "b": 0.0}) is None
