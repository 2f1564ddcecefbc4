"""Lines for CloudWatch: valid by its specification, a minute apart, counters as what they grew by."""

import asyncio
import io
import json
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, ProcessCollector

from service.core import events
from service.core.events import Event
from service.settings import PROJECT
from service.telemetry.emf import MAIL_FAILURES, MEMORY, OF_LAYERS, STARTS, Embedded, reporting
from service.telemetry.logs import Log
from service.telemetry.metrics import Metrics
from tests.fakes.queue import EPOCH
from tests.fakes.time import LoopClock, run_virtual

# Of AWS's page "Specification: Embedded metric format", its schema: the members and limits that it requires.
UNITS = {"Seconds", "Bytes", "Count"}
NAME = re.compile(r"[\x21-\x7e]{1,1024}")
Line = dict[str, Any]


class Reports:
    """A process's metrics, and the log that they are written to."""

    def __init__(self, *layers: str, environment: str = "", level: str = "info") -> None:
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._stream = io.StringIO()
        self._metrics = Metrics(registry, now=lambda: 0.0)
        write = Log(level=level, stream=self._stream).metrics
        self.embedded = Embedded(registry, write, layers=layers, environment=environment, clock=LoopClock())

    def happens(self, *some: Event) -> None:
        for event in some:
            self._metrics.record(event)

    def lines(self) -> list[Line]:
        """What was written since the last look."""
        found = [json.loads(line) for line in self._stream.getvalue().splitlines()]
        self._stream.seek(0)
        self._stream.truncate()
        return found

    def reported(self) -> dict[str, Line]:
        """A report now, by layer; the process's is under an empty name."""
        self.embedded.report()
        return {line.get("Layer", ""): line for line in self.lines()}


def in_time(work: Callable[[], Any]) -> None:
    """Run where there is a virtual clock."""

    async def main() -> None:
        result = work()
        if asyncio.iscoroutine(result):
            await result

    run_virtual(main())


def check_valid(line: Mapping[str, Any]) -> None:
    """Everything that the specification asks of a root node, its metadata and its directives."""
    assert set(line["_aws"]) == {"Timestamp", "CloudWatchMetrics"}
    assert type(line["_aws"]["Timestamp"]) is int
    assert line["_aws"]["CloudWatchMetrics"]
    for directive in line["_aws"]["CloudWatchMetrics"]:
        assert set(directive) == {"Namespace", "Dimensions", "Metrics"}
        assert NAME.fullmatch(directive["Namespace"])
        assert len(directive["Dimensions"]) >= 1
        for dimensions in directive["Dimensions"]:
            assert len(dimensions) == len(set(dimensions)) <= 30
            assert all(isinstance(line[name], str) and 1 <= len(line[name]) <= 1024 for name in dimensions)
        assert 1 <= len(directive["Metrics"]) <= 100
        for metric in directive["Metrics"]:
            assert set(metric) == {"Name", "Unit"}
            assert NAME.fullmatch(metric["Name"])
            assert metric["Unit"] in UNITS
            assert isinstance(line[metric["Name"]], int | float)


EVERYTHING: tuple[Event, ...] = (
    events.MessagesReceived("land", 7, 70, 12.0),
    events.QueueLooked("land", 40, 3),
    events.FileLanded("things", 6, 60),
    events.FileRefined("things", 9, 5, 4, 1, 50, 0.1),
    events.FileRefined("others", 1, 1, 0, 1, 50, 0.1),
    events.RecordsRejected("refine", "things", "bad_type", 3),
    events.RecordsRejected("refine", "others", "bad_json", 1),
    events.GroupLoaded("things", 2, 0, 10, 4, 1, 5, 0.5),
    events.WorkFailed("load", "transient", "away", 1.0),
    events.WorkFailed("load", "setup", "away", 1.0),
    events.DatasetPaused("refine", "things", "why"),
    events.DatasetPaused("refine", "others", "why"),
    events.LayerPaused("load", "away"),
    events.LettersQuarantined("quarantine-refine", 2, 4, 0),
    events.MailFailed("setup", "", 1.0),
)
TOLD = {
    "land": {"RecordsIn": 7, "RecordsOut": 6, "Rejected": 0, "WorkFailures": 0,
             "OldestAge": 12, "Backlog": 40, "InFlight": 3},
    "refine": {"RecordsIn": 10, "RecordsOut": 6, "Rejected": 4, "WorkFailures": 0, "DatasetsPaused": 2},
    "load": {"RecordsIn": 10, "RecordsOut": 5, "Rejected": 0, "WorkFailures": 2, "Paused": 1},
    "quarantine-land": {"RecordsIn": 0, "Rejected": 0, "WorkFailures": 0},
    "quarantine-refine": {"RecordsIn": 4, "Rejected": 0, "WorkFailures": 0},
    "quarantine-load": {"RecordsIn": 0, "Rejected": 0, "WorkFailures": 0},
}  # fmt: skip
LAYERS = ("land", "refine", "load", "quarantine")


def values(line: Line) -> dict[str, float]:
    """What the directive names."""
    [directive] = line["_aws"]["CloudWatchMetrics"]
    return {metric["Name"]: line[metric["Name"]] for metric in directive["Metrics"]}


def test_each_layer_has_a_line_with_its_figures_and_the_process_one() -> None:
    def work() -> None:
        reports = Reports(*LAYERS)
        reports.happens(*EVERYTHING)
        lines = reports.reported()
        process = values(lines.pop(""))
        assert process.pop("Memory") > 1_000_000
        assert process == {"Starts": 1, "MailFailures": 1}
        assert {layer: values(line) for layer, line in lines.items()} == TOLD

    in_time(work)


@pytest.mark.parametrize("environment", ["", "prod"])
def test_every_line_is_valid_and_has_no_dimension_that_grows(environment: str) -> None:
    def work() -> None:
        reports = Reports(*LAYERS, environment=environment)
        reports.happens(*EVERYTHING, events.LayerPaused("s3", "away"))
        named = ["Environment"] if environment else []
        for layer, line in reports.reported().items():
            check_valid(line)
            [directive] = line["_aws"]["CloudWatchMetrics"]
            assert directive["Namespace"] == "Acequia"
            assert directive["Dimensions"] == [[*named, "Layer"] if layer else named]
            assert line.get("Environment", "") == environment
            assert line["event"] == "metrics"
            assert "things" not in json.dumps(line)

    in_time(work)


def test_counters_are_what_they_grew_by_and_levels_what_they_are() -> None:
    def work() -> None:
        reports = Reports("land")
        reports.happens(events.MessagesReceived("land", 7, 70, 12.0), events.MailFailed("setup", "", 1.0))
        first = reports.reported()
        reports.happens(events.MessagesReceived("land", 2, 70, 15.0))
        second, third = reports.reported(), reports.reported()
        assert [one["land"]["RecordsIn"] for one in (first, second, third)] == [7, 2, 0]
        assert [one["land"]["OldestAge"] for one in (first, second, third)] == [12, 15, 15]
        assert [one[""]["MailFailures"] for one in (first, second, third)] == [1, 0, 0]
        assert [one[""]["Starts"] for one in (first, second, third)] == [1, 0, 0]

    in_time(work)


def test_a_layer_that_does_not_run_here_has_no_line_until_there_is_something_to_tell() -> None:
    def work() -> None:
        reports = Reports("load")
        assert set(reports.reported()) == {"load", ""}
        reports.happens(events.LayerPaused("warehouse", "away"), events.MessagesReleased("land", 1))
        lines = reports.reported()
        assert values(lines["warehouse"]) == {"Paused": 1}
        assert set(lines) == {"load", "warehouse", ""}

    in_time(work)


async def _two_and_a_half_minutes(reports: Reports) -> list[int]:
    """When lines of the process came, in seconds from the start."""
    async with reporting(reports.embedded, LoopClock()):
        await asyncio.sleep(150)
    moments = [line["_aws"]["Timestamp"] for line in reports.lines() if "Layer" not in line]
    return [round(moment / 1000 - EPOCH.timestamp()) for moment in moments]


def test_lines_come_at_the_start_each_minute_and_at_the_end() -> None:
    async def work() -> None:
        assert await _two_and_a_half_minutes(Reports("land")) == [0, 60, 120, 150]

    in_time(work)


def test_lines_are_written_at_every_level() -> None:
    async def work() -> None:
        assert await _two_and_a_half_minutes(Reports("land", level="error"))

    in_time(work)


def test_a_process_that_slept_does_not_make_up_for_it() -> None:
    async def work() -> None:
        reports, clock = Reports("land"), _Stalling()
        async with reporting(reports.embedded, clock):
            await asyncio.sleep(61)
            clock.skipped = 600.0
            await asyncio.sleep(180)
        assert len([line for line in reports.lines() if "Layer" not in line]) <= 6

    in_time(work)


class _Stalling(LoopClock):
    """A clock that jumps ahead when somebody says so."""

    skipped = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.skipped


def test_what_was_counted_since_the_last_minute_is_in_the_last_line() -> None:
    async def work() -> None:
        reports = Reports("land")
        async with reporting(reports.embedded, LoopClock()):
            await asyncio.sleep(70)
            reports.happens(events.MessagesReceived("land", 5, 70, 1.0))
        assert [line["RecordsIn"] for line in reports.lines() if line.get("Layer") == "land"] == [0, 0, 5]

    in_time(work)


def test_the_document_has_every_metric_with_its_unit_and_none_too_many() -> None:
    text = (PROJECT / "docs" / "metrics.md").read_text(encoding="utf-8").split("## For CloudWatch")[1]
    told = dict(re.findall(r"^\| (\w+) \| (Count|Seconds|Bytes) \|", text, re.MULTILINE))
    assert told == {
        **{figure.name: figure.unit for figure in (*OF_LAYERS, MAIL_FAILURES)}, STARTS: "Count", MEMORY: "Bytes",
    }  # fmt: skip


def test_a_moment_is_in_milliseconds() -> None:
    async def work() -> None:
        await asyncio.sleep(1.5)
        line = Reports("land").reported()["land"]
        assert line["_aws"]["Timestamp"] == int((EPOCH + timedelta(seconds=1.5)).timestamp() * 1000)

    in_time(work)
