"""The expressions that stand in the templates, against examples worked by hand."""

from collections.abc import Mapping
from typing import Any

import pytest

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
    (None, None, None),
]


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize(("waiting", "done", "expected"), STUCK)
def test_stuck(layer: str, waiting: Value, done: Value, expected: Value) -> None:
    alarm = stacks("prod", Layer=layer)["service"].of_type("AWS::CloudWatch::Alarm")["Stuck"]
    value = evaluate(expression(alarm["Metrics"]), {"waiting": waiting, "done": done})
    assert value == expected
    assert (value is not None and value > alarm["Threshold"]) == (expected == 1)
    queue = {"all": "records", "quarantine": "refine-dlq", "land": "records"}.get(layer, layer)
    names = {
        d["Value"] for one in alarm["Metrics"] if "MetricStat" in one for d in one["MetricStat"]["Metric"]["Dimensions"]
    }
    assert names == {f"acequia-prod-{queue}"}


LETTERS = [(None, None, 0), (3, None, 3), (None, 2, 2), (3, 2, 3), (0, 0, 0)]


@pytest.mark.parametrize("queue", ["Records", "Refine", "Load"])
@pytest.mark.parametrize(("sent", "seen", "expected"), LETTERS)
def test_dead_letters(queue: str, sent: Value, seen: Value, expected: Value) -> None:
    alarm = stacks("prod")["queue-alarms"].of_type("AWS::CloudWatch::Alarm")[f"{queue}Letters"]
    assert evaluate(expression(alarm["Metrics"]), {"sent": sent, "seen": seen}) == expected


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
    tried = {"Stuck", "Io", "RecordsLetters", "RefineLetters", "LoadLetters"}
    made = stacks("prod")
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
