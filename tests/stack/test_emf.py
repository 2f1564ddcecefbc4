"""`acequia run` with metrics for CloudWatch in its log."""

import json
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.local.ports import free_port
from tests.stack.conftest import Starter

pytestmark = [pytest.mark.stack, pytest.mark.timeout(120)]


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[dict[str, str]]:
    starter = Starter(tmp_path)
    try:
        starter("local", "--stack-only", "--env-file", "stack.env").until("keep running")
        yield dict(line.split("=", 1) for line in (tmp_path / "stack.env").read_text().splitlines())
    finally:
        starter.stop()


def test_metrics_are_lines_among_the_others_and_prometheus_is_served_too(stack: dict[str, str], start: Starter) -> None:
    port = free_port(0)
    changed = {"ACEQUIA_METRICS": "emf", "ACEQUIA_ENVIRONMENT": "test", "ACEQUIA_LAYERS": "land,refine"}
    worker = start("run", **{**stack, **changed, "ACEQUIA_HTTP_PORT": str(port), "ACEQUIA_LOG_LEVEL": "info"})
    worker.until("service_started")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        assert "process_resident_memory_bytes" in answer.read().decode()
    worker.process.send_signal(signal.SIGTERM)
    assert worker.finish() == 0, worker.text
    lines = [json.loads(line) for line in worker.lines]
    metrics = [line for line in lines if line["event"] == "metrics"]
    assert [line.get("Layer") for line in metrics[:3]] == ["land", "refine", None]
    assert {line["Environment"] for line in metrics} == {"test"}
    assert [line["Starts"] for line in metrics if "Layer" not in line] == [1, 0], "at the start and at the end"
    assert lines[-1]["event"] == "service_stopped"


def test_without_the_setting_there_are_none(stack: dict[str, str], start: Starter) -> None:
    worker = start("run", **{**stack, "ACEQUIA_LAYERS": "land"})
    worker.until("service_started")
    worker.process.send_signal(signal.SIGTERM)
    assert worker.finish() == 0, worker.text
    assert "metrics" not in {json.loads(line)["event"] for line in worker.lines}
