"""One JSON line an event."""

import io
import json
import threading
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from service.core.events import Event, LayerPaused, MessagesReceived, RecordsRejected, ServiceStarted
from service.telemetry.logs import Log


def logged(event: Event, level: str = "debug") -> list[dict[str, Any]]:
    stream = io.StringIO()
    Log(level=level, stream=stream).record(event)
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("event", "level", "told"),
    [
        (
            MessagesReceived("land", 3, 70, 1.5),
            "debug",
            {"event": "messages_received", "layer": "land", "messages": 3, "body_bytes": 70, "age_seconds": 1.5},
        ),
        (
            ServiceStarted(("land",), 9100),
            "info",
            {"event": "service_started", "layers": ["land"], "http_port": 9100},
        ),
        (
            RecordsRejected("refine", "things", "bad_type", 2),
            "warning",
            {"event": "records_rejected", "layer": "refine", "dataset": "things", "code": "bad_type", "records": 2},
        ),
    ],
)
def test_an_event_is_one_line_with_its_fields_level_and_time(event: Event, level: str, told: dict[str, Any]) -> None:
    [line] = logged(event)
    assert datetime.fromisoformat(line.pop("timestamp")).utcoffset() == timedelta(0)
    assert line == told | {"level": level}


@pytest.mark.parametrize(("level", "lines"), [("debug", 1), ("info", 0), ("error", 0)])
def test_what_is_below_the_level_is_left_out(level: str, lines: int) -> None:
    assert len(logged(MessagesReceived("land", 3, 70, 1.5), level)) == lines


def test_a_line_break_in_a_reason_stays_inside_the_line() -> None:
    [line] = logged(LayerPaused("load", 'redshift: away\n{"event":"forged"}'))
    assert line["reason"] == 'redshift: away\n{"event":"forged"}'


def test_a_bug_is_one_line_with_its_traceback() -> None:
    stream = io.StringIO()
    try:
        raise ZeroDivisionError("by nought")  # noqa: TRY301 (a traceback is wanted)
    except ZeroDivisionError as bug:
        Log(level="error", stream=stream).bug(bug)
    [line] = stream.getvalue().splitlines()
    told = json.loads(line)
    assert (told["event"], told["level"]) == ("unexpected_error", "error")
    assert told["exception"].endswith("ZeroDivisionError: by nought")


class _Pieces(io.StringIO):
    """A file that notices when somebody writes between the pieces of another's line; writing lets other threads run."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file = path.open("wb", buffering=0)
        self._writer: int | None = None
        self.mixed = 0

    def write(self, text: str) -> int:
        me = threading.get_ident()
        self.mixed += self._writer not in (None, me)
        self._writer = None if text.endswith("\n") else me
        self._file.write(text.encode())
        return len(text)

    def close(self) -> None:
        self._file.close()
        super().close()


def test_events_and_metrics_of_several_threads_are_whole_lines(tmp_path: Path) -> None:
    def write(number: int) -> None:
        for _ in range(500):
            if number % 2:
                log.metrics({"number": number})
            else:
                log.record(MessagesReceived("land", number, 70, 1.5))

    with _Pieces(tmp_path / "log") as stream:
        log = Log(level="debug", stream=stream)
        threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert stream.mixed == 0
    assert len([json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]) == 2_000
