"""Alarms, the dashboard and metric filters read what the service really writes."""

import io
import json
import logging
import re
from collections.abc import Mapping
from dataclasses import fields
from types import UnionType
from typing import Any, get_args

import pytest

from service.core.events import BatchFinished, DatasetPaused, Event
from service.telemetry.emf import MAIL_FAILURES, MEMORY, OF_LAYERS, STARTS
from service.telemetry.logs import LEVELS, Log
from tests.deploy.templates import stacks, template

BUG = "unexpected_error"
PATTERN = re.compile(r'\{ \$\.event = "(?P<event>[a-z_]+)" \}')
LOG_LEVELS = {name.lower(): number for name, number in logging.getLevelNamesMapping().items()}
SEARCH = re.compile(r"\{(?P<namespace>[^,]+),(?P<dimensions>[^}]+)\}.*MetricName=\"(?P<name>\w+)\"")


def filters() -> dict[str, Mapping[str, Any]]:
    return stacks("prod")["logs"].of_type("AWS::Logs::MetricFilter")


def named(kind: type[Any]) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()


def kinds() -> dict[str, type[Any]]:
    assert isinstance(Event, UnionType)
    return {named(kind): kind for kind in get_args(Event)}


@pytest.mark.parametrize("name", sorted(filters()))
def test_a_filter_reads_an_event_and_its_fields(name: str) -> None:
    one = filters()[name]
    found = PATTERN.fullmatch(one["FilterPattern"])
    assert found, one["FilterPattern"]
    [metric] = one["MetricTransformations"]
    assert (metric["MetricName"], metric["MetricNamespace"]) == (name, "acequia-prod")
    read = [dimension["Value"] for dimension in metric.get("Dimensions", [])]
    read += [metric["MetricValue"]] if metric["MetricValue"] != "1" else []
    if found["event"] == BUG:
        assert read == []
        return
    kind = kinds()[found["event"]]
    assert {text.removeprefix("$.") for text in read} <= {field.name for field in fields(kind)}
    for level in template("service")["Parameters"]["LogLevel"]["AllowedValues"]:
        assert LEVELS.get(kind, logging.INFO) >= LOG_LEVELS[level], "nobody logs it at a level that may be set"


def test_the_log_names_events_as_the_filters_do() -> None:
    stream = io.StringIO()
    log = Log(level="info", stream=stream)
    log.record(DatasetPaused("refine", "loans", "so"))
    log.record(BatchFinished("refine", "loans", 1, 0.1))
    log.bug(ValueError("so"))
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["event"] for line in lines] == [named(DatasetPaused), BUG]
    assert lines[0]["layer"] == "refine"


def written() -> dict[tuple[str, str], frozenset[str]]:
    """Every metric that there is, by namespace and name, with its dimensions."""
    layers = frozenset({"Environment", "Layer"})
    process = {("Acequia", name): frozenset({"Environment"}) for name in (STARTS, MEMORY, MAIL_FAILURES.name)}
    ours = {("Acequia", figure.name): layers for figure in OF_LAYERS}
    return {**process, **ours, **{("acequia-prod", name): frozenset() for name in filters()}}


def test_alarms_read_metrics_that_are_written() -> None:
    made, known, read = stacks("prod"), written(), 0
    for stack in ("alarms", "queue-alarms", "service"):
        for alarm in made[stack].of_type("AWS::CloudWatch::Alarm").values():
            single = [alarm] if "MetricName" in alarm else []
            several = [one["MetricStat"]["Metric"] for one in alarm.get("Metrics", []) if "MetricStat" in one]
            for metric in [*single, *several]:
                if metric["Namespace"] in ("Acequia", "acequia-prod"):
                    dimensions = {one["Name"] for one in metric.get("Dimensions", [])}
                    assert dimensions == known[metric["Namespace"], metric["MetricName"]]
                    read += 1
    assert read == len(made["alarms"].of_type("AWS::CloudWatch::Alarm")) - 1, "all but the one on SNS"


def test_with_prometheus_there_is_no_alarm_that_could_never_ring() -> None:
    made = stacks("prod", Metrics="prometheus")
    assert {one["Namespace"] for one in made["alarms"].of_type("AWS::CloudWatch::Alarm").values()} == {
        "AWS/SNS",
        "acequia-prod",
    }
    for layer, judges in {
        "refine": ["Stuck.Ref"],
        "load": ["Stuck.Ref"],
        "all": ["Stuck.Ref", "LoadStuck.Ref"],
    }.items():
        [service] = stacks("prod", Metrics="prometheus", Layer=layer)["service"].of_type("AWS::ECS::Service").values()
        assert service["DeploymentConfiguration"]["Alarms"]["AlarmNames"] == judges


def test_one_tasks_restarts_ring() -> None:
    """A task that ends at each start is there again after one or two minutes; a deployment is over within the hour."""
    alarm = stacks("dev")["alarms"].of_type("AWS::CloudWatch::Alarm")["Restarts"]
    assert alarm["Threshold"] <= alarm["Period"] / 120
    assert alarm["Period"] * alarm["EvaluationPeriods"] >= 3_600
    gone = stacks("dev", Layer="all")["service"].of_type("AWS::CloudWatch::Alarm")["Gone"]
    assert gone["Statistic"] == "Average", "or a second of running in each minute would keep it silent"
    assert gone["DatapointsToAlarm"] < gone["EvaluationPeriods"]


def test_the_dashboard_shows_metrics_that_are_written() -> None:
    body = json.loads(stacks("prod")["dashboard"].of_type("AWS::CloudWatch::Dashboard")["Dashboard"]["DashboardBody"])
    known, shown = written(), set()
    for widget in body["widgets"]:
        for metric in widget["properties"]["metrics"]:
            if isinstance(metric[0], dict):
                found = SEARCH.search(metric[0]["expression"])
                assert found
                shown.add((found["namespace"], found["name"]))
                if found["namespace"] == "Acequia":
                    assert set(found["dimensions"].split(",")) == known["Acequia", found["name"]]
            else:
                shown.add((metric[0], metric[1]))
    ours = {one for one in shown if one[0] in ("Acequia", "acequia-prod")}
    assert len(ours) >= 7
    assert ours <= known.keys()
