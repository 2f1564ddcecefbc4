"""Commands that die or are stopped, and are given again: the scenarios of `rounds.py` and `upkeep.py`."""

import asyncio
from collections.abc import Mapping

import pytest

from tests.faults.actions import kill_before
from tests.faults.line import Line
from tests.faults.rounds import behind_killed, killed_anywhere

pytestmark = [pytest.mark.stack, pytest.mark.timeout(480), pytest.mark.asyncio(loop_scope="session")]

Beside = Mapping[str, asyncio.Task[None]]


async def test_run_killed(beside: Beside) -> None:
    await beside["run_killed"]


async def test_run_killed_behind(beside: Beside) -> None:
    await beside["run_killed_behind"]


@pytest.mark.faults_all
async def test_run_killed_before_what_is_behind(line: Line) -> None:
    await behind_killed(line, kill_before)


async def test_messages_killed(beside: Beside) -> None:
    await beside["messages_killed"]


@pytest.mark.faults_all
@pytest.mark.parametrize("seed", range(4))
async def test_run_killed_anywhere(line: Line, seed: int) -> None:
    await killed_anywhere(line, seed)


async def test_repair_killed(beside: Beside) -> None:
    await beside["repair_killed"]


async def test_replay_killed(beside: Beside) -> None:
    await beside["replay_killed"]
