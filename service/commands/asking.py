"""What commands that send share with each other: progress, a question, and a way to stop."""

import asyncio
import signal
import sys

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from service.commands.ending import confirmed
from service.commands.report import console
from service.core.errors import SetupError
from service.quarantine.reprocess.plan import Plan


def progress(what: str) -> Progress:
    """A bar."""
    columns = (TextColumn(f"{what} {{task.description}}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console())


def agreed(planned: Plan, *, yes: bool) -> bool:
    """Whether to go on: where most would fail again, somebody is asked."""
    if yes or not planned.forecast.hopeless:
        return True
    if not sys.stdin.isatty():
        raise SetupError("most of these would fail again, and nobody is there to be asked: say --yes to send them")
    return confirmed(f"Most would fail again. Send all {len(planned.items):,} all the same?")


def stopping() -> asyncio.Event:
    """Set by the first Ctrl-C, so that what was sent is written down; the second one ends everything at once."""
    stop, loop, command = asyncio.Event(), asyncio.get_running_loop(), asyncio.current_task()
    assert command is not None, "it is called in the command's own task"

    def second() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        command.cancel()

    def first() -> None:
        stop.set()
        loop.add_signal_handler(signal.SIGINT, second)

    loop.add_signal_handler(signal.SIGINT, first)
    return stop
