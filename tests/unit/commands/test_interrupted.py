"""Ctrl-C, as a person at a terminal gives it: at a question, at work, at work for the second time, at the start."""

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[3]
ASKS = """
import asyncio
import typer
from service.commands.asking import stopping
from service.commands.ending import confirmed, end

async def ask():
    return 0 if confirmed("Send?") else 1

async def work():
    stop = stopping()
    print("working", flush=True)
    await stop.wait()
    print("writing down", flush=True)
    await asyncio.sleep(60)
    return 0

typer.run(lambda: end({which}, stopped=lambda: "acequia: begin again with the same words"))
"""
STARTS = """
import sys, time, types
from service.__main__ import main

class Slow(types.ModuleType):
    def __getattr__(self, name):
        print("importing", flush=True)
        time.sleep(60)

sys.modules["typer"] = Slow("typer")
main()
"""
STOPPED = "acequia: begin again with the same words"
SECONDS_MAX = 30
EXIT_INTERRUPTED = 130


class Terminal:
    """A program at a terminal."""

    def __init__(self, arguments: list[str]) -> None:
        self._mine, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=PROJECT,
            start_new_session=True,
        )
        os.close(theirs)
        self.said = ""

    def until(self, text: str) -> None:
        """Read on until it has said that."""
        while text not in self.said:
            self.said += os.read(self._mine, 4_096).decode()

    def waits(self) -> None:
        """Until it sleeps, which at a question is the wait for an answer. A signal between the words of a question and
        that wait is noticed by Python at the next key only; no person is so fast, but a busy machine is.
        """
        stat = Path(f"/proc/{self.process.pid}/stat")
        while stat.read_text(encoding="ascii").rpartition(") ")[2][0] != "S":
            os.sched_yield()

    def interrupt(self) -> None:
        """Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    def finish(self) -> int:
        """Its exit code, when it has said all."""
        try:
            while more := os.read(self._mine, 4_096).decode():
                self.said += more
        except OSError:  # that is how a terminal ends whose program is gone
            pass
        return self.process.wait(SECONDS_MAX)

    def close(self) -> None:
        """End it."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._mine)


@contextmanager
def terminal(*arguments: str) -> Iterator[Terminal]:
    program = Terminal([*arguments])
    try:
        yield program
    finally:
        program.close()


def test_at_a_question_the_first_ends_the_command() -> None:
    with terminal("-c", ASKS.format(which="ask")) as program:
        program.until("[y/N]")
        program.waits()
        program.interrupt()
        assert program.finish() == EXIT_INTERRUPTED
        assert STOPPED in program.said
        assert "Traceback" not in program.said


def test_at_work_the_first_lets_it_write_down_and_the_second_ends_it() -> None:
    with terminal("-c", ASKS.format(which="work")) as program:
        program.until("working")
        program.interrupt()
        program.until("writing down")
        began = time.monotonic()
        program.interrupt()
        assert program.finish() == EXIT_INTERRUPTED
        assert time.monotonic() - began < SECONDS_MAX
        assert STOPPED in program.said
        assert "Traceback" not in program.said


def test_while_it_starts_there_is_no_traceback() -> None:
    with terminal("-c", STARTS) as program:
        program.until("importing")
        program.interrupt()
        assert program.finish() == -signal.SIGINT
        assert "Traceback" not in program.said
