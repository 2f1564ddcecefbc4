"""How a command ends: with an exit code, and one line for what an operator has to set right.

0 done, 1 it found differences or could not do all of it, 2 something to set right, 130 interrupted.
"""

import asyncio
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import typer

from service.core.errors import RejectedError, SetupError, TransientError
from service.runtime import EXIT_INTERRUPTED, EXIT_SETUP
from service.settings import Settings
from service.upkeep.tools import Tools

EXIT_PARTLY = 1
"""It could not do all of it."""

Opening = Callable[[Settings], AbstractAsyncContextManager[Tools]]
"""Opens the clients for the length of a command."""


def end(work: Callable[[], Coroutine[Any, Any, int]], *, stopped: Callable[[], str]) -> None:
    """Run it, and exit with its code. `stopped` says how to go on after Ctrl-C, or when a dependency was down."""
    code = EXIT_SETUP
    try:
        code = asyncio.run(work())
    except* TransientError as down:
        complain(down)
        typer.echo(stopped(), err=True)
    except* (SetupError, RejectedError) as wrong:
        complain(wrong)
    except* (KeyboardInterrupt, asyncio.CancelledError):
        typer.echo(stopped(), err=True)
        code = EXIT_INTERRUPTED
    raise typer.Exit(code)


def confirmed(question: str) -> bool:
    """Ask at the terminal. Ctrl-C ends the command there, too: the loop's own handler would wait for the answer."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return typer.confirm(question)
    except typer.Abort:
        raise KeyboardInterrupt from None
    finally:
        signal.signal(signal.SIGINT, before)


def complain(wrong: BaseExceptionGroup[Exception]) -> int:
    """A line for each thing that is to be set right; returns the exit code."""
    for one in leaves(wrong):
        typer.echo(f"acequia: {one}", err=True)
    return EXIT_SETUP


def leaves(group: BaseExceptionGroup[Exception]) -> Iterator[BaseException]:
    """What went wrong, without the groups around it."""
    for one in group.exceptions:
        if isinstance(one, BaseExceptionGroup):
            yield from leaves(one)
        else:
            yield one
