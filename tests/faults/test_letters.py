"""Dead letters, whatever dies while they are kept: the scenarios of `letters.py`."""

import asyncio
from collections.abc import Mapping

import pytest

from tests.faults.letters import killed_anywhere
from tests.faults.line import Line

pytestmark = [pytest.mark.stack, pytest.mark.timeout(480), pytest.mark.asyncio(loop_scope="session")]

Beside = Mapping[str, asyncio.Task[None]]


async def test_killed_before(beside: Beside) -> None:
    await beside["killed_before"]


async def test_killed_after(beside: Beside) -> None:
    await beside["killed_after"]


@pytest.mark.faults_all
@pytest.mark.parametrize("seed", range(4))
async def test_killed_anywhere(line: Line, seed: int) -> None:
    await killed_anywhere(line, seed)


async def test_mail_killed(beside: Beside) -> None:
    await beside["mail_killed"]
