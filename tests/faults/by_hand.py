"""Commands as an operator gives them on a line: to their end, to a Ctrl-C, or to a `kill -9` at a chosen call."""

import signal
from dataclasses import dataclass

from tests.faults.actions import interrupt
from tests.faults.calls import Action
from tests.faults.line import Line
from tests.faults.program import Program
from tests.faults.rules import Rule

PATIENCE_SECONDS = 120
"""As long as a machine with much to do may take to start a process."""
SOON_SECONDS = 20
"""A Ctrl-C ends a command by then, also on a machine with much to do."""


@dataclass(frozen=True)
class Point:
    """A call at which something happens to who makes it: the first of that kind, after those that are skipped."""

    operation: str
    target: str = ""
    skip: int = 0


async def done(line: Line, *arguments: str) -> tuple[int, str]:
    """Its exit code, and what it said."""
    program = await line.begin(*arguments)
    return await program.ended(seconds_max=PATIENCE_SECONDS), _plain(program)


async def dies(line: Line, point: Point, action: Action, *arguments: str, **changed: str) -> Rule:
    """A worker, or a command, that is killed at that call; what it held is visible again."""
    rule = line.rules.on(point.operation, action, target=point.target, worker=line.next_name, skip=point.skip)
    await line.killed(rule, await line.begin(*arguments, **changed), seconds_max=PATIENCE_SECONDS)
    return rule


async def interrupted(line: Line, point: Point, *arguments: str, action: Action = interrupt) -> str:
    """A command that gets a Ctrl-C at that call; what it says when it ends, which is soon and in plain words."""
    rule = line.rules.on(point.operation, action, target=point.target, worker=line.next_name, skip=point.skip)
    program = await line.begin(*arguments)
    await line.fired(rule, seconds_max=PATIENCE_SECONDS)
    assert await program.ended(seconds_max=SOON_SECONDS) == 128 + signal.SIGINT, _plain(program)
    await line.expire(program)
    return _plain(program)


def _plain(program: Program) -> str:
    text = program.text
    assert "Traceback" not in text, text
    return text
