"""The program as its users start it: a process, its files, its ports."""

import contextlib
import gzip
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from service.local.samples.loans import loan_events

PROJECT = Path(__file__).resolve().parents[2]
REAL_LOAN_EVENTS = PROJECT.parent / "shared" / "data" / "loan_events.ndjson.gz"
PATIENCE_SECONDS = 150


class Program:
    """A running `acequia`, whose output is read line by line."""

    def __init__(self, arguments: Sequence[str], directory: Path, environment: dict[str, str]) -> None:
        self.directory = directory
        self.lines: list[str] = []
        clean = {n: v for n, v in os.environ.items() if not n.startswith(("ACEQUIA_", "AWS_"))}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "service", *arguments],
            cwd=directory,
            env={**clean, "PYTHONPATH": str(PROJECT), "COLUMNS": "200", **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def until(self, text: str) -> str:
        """Read on to the line that holds the text."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            if text in line:
                return line.rstrip("\n")
        raise AssertionError(f"ended without {text!r}:\n" + "\n".join(self.lines[-40:]))

    def finish(self) -> int:
        """Read to the end; the exit code."""
        assert self.process.stdout is not None
        self.lines.extend(line.rstrip("\n") for line in self.process.stdout)
        return self.process.wait(PATIENCE_SECONDS)

    def interrupt(self) -> int:
        """Ctrl-C; the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.finish()

    @property
    def text(self) -> str:
        """Everything it said."""
        return "\n".join(self.lines)

    def relatives(self) -> list[psutil.Process]:
        """Processes that it started, directly or not."""
        return psutil.Process(self.process.pid).children(recursive=True)


class Starter:
    """Starts programs in a directory of the test's own, and makes sure that none outlives the test."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._started: list[Program] = []

    def __call__(self, *arguments: str, **environment: str) -> Program:
        program = Program(arguments, self.directory, environment)
        self._started.append(program)
        return program

    def stop(self) -> None:
        """End what still runs, by the ids of what we started."""
        for program in self._started:
            if program.process.poll() is None:
                program.process.send_signal(signal.SIGINT)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    program.process.wait(20)
            if program.process.poll() is None:
                program.process.kill()
                program.process.wait()
            assert program.process.stdout is not None
            program.process.stdout.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starter]:
    """Start an `acequia` with these arguments."""
    starter = Starter(tmp_path)
    yield starter
    starter.stop()


@pytest.fixture(scope="session")
def loan_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real loan events where they are at hand, else their generated twin: same shape, same counts."""
    if REAL_LOAN_EVENTS.is_file():
        return REAL_LOAN_EVENTS
    path = tmp_path_factory.mktemp("loans") / "loan_events.ndjson.gz"
    events, _ = loan_events()
    with gzip.open(path, "wt", compresslevel=1) as file:
        file.writelines(f"{event}\n" for event in events)
    return path


def gone(processes: Sequence[psutil.Process]) -> bool:
    """Whether all of them end within a few seconds."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes):
            return True
        psutil.wait_procs(processes, timeout=0.2)
    return False
