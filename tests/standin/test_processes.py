"""Child processes end with us: in order, when cancelled, when they fail, and when we are killed."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from service.local.processes import ChildFailedError, Command, child, run

pytestmark = pytest.mark.stack

OBEDIENT = "import signal; signal.signal(signal.SIGTERM, lambda *_: exit(0)); print('up', flush=True); signal.pause()"
STUBBORN = (
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True)\nwhile True: signal.pause()"
)


def command(directory: Path, script: str, *, stop_seconds_max: float = 10.0) -> Command:
    return Command(
        name="The child",
        argv=(sys.executable, "-c", script),
        env={},
        directory=directory,
        log=directory / "child.log",
        account=None,
        stop_signal=signal.SIGTERM,
        stop_seconds_max=stop_seconds_max,
    )


async def up(directory: Path) -> bool:
    return "up" in (directory / "child.log").read_text()


async def test_a_child_is_asked_to_end(tmp_path: Path) -> None:
    async with child(command(tmp_path, OBEDIENT)) as running:
        await running.until_ready(lambda: up(tmp_path), seconds_max=10)
        assert os.getsid(running.pid) == running.pid
    assert running.exit_status == 0
    assert not psutil.pid_exists(running.pid)


async def test_a_child_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    async with child(command(tmp_path, STUBBORN, stop_seconds_max=0.05)) as running:
        await running.until_ready(lambda: up(tmp_path), seconds_max=10)
    assert running.exit_status == -signal.SIGKILL


async def test_a_child_ends_when_its_owner_is_cancelled_even_twice(tmp_path: Path) -> None:
    pids: list[int] = []

    async def own() -> None:
        async with child(command(tmp_path, STUBBORN)) as running:
            await running.until_ready(lambda: up(tmp_path), seconds_max=10)
            pids.append(running.pid)
            owner.cancel()
            await asyncio.Event().wait()

    owner = asyncio.create_task(own())
    while not pids:
        await asyncio.wait([owner], timeout=0.01)
    await asyncio.wait([owner], timeout=0.05)  # it now waits for the stubborn child
    owner.cancel()
    with pytest.raises(asyncio.CancelledError):
        await owner
    assert not psutil.pid_exists(pids[0])


async def test_an_early_death_is_one_error_with_the_end_of_the_log(tmp_path: Path) -> None:
    with pytest.raises(ChildFailedError, match=r"status 3 before it was ready(.|\n)*no such luck"):
        async with child(command(tmp_path, "print('no such luck'); exit(3)")) as running:
            await running.until_ready(lambda: up(tmp_path), seconds_max=10)


async def test_a_late_start_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ChildFailedError, match=r"was not ready within 0\.05 seconds"):
        async with child(command(tmp_path, "import time; time.sleep(60)")) as running:
            await running.until_ready(lambda: up(tmp_path), seconds_max=0.05)
    assert not psutil.pid_exists(running.pid)


async def test_a_death_in_the_middle_is_told_at_the_end(tmp_path: Path) -> None:
    with pytest.raises(ChildFailedError, match="ended by itself with status 4"):
        async with child(command(tmp_path, "exit(4)")) as running:
            assert await running.exited(seconds_max=10)


async def test_running_to_the_end_checks_the_status(tmp_path: Path) -> None:
    await run(command(tmp_path, "pass"), seconds_max=10)
    with pytest.raises(ChildFailedError, match="ended with status 5"):
        await run(command(tmp_path, "exit(5)"), seconds_max=10)
    with pytest.raises(ChildFailedError, match="did not end"):
        await run(command(tmp_path, "import time; time.sleep(60)"), seconds_max=0.05)


async def test_children_start_from_the_main_thread_only(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="main thread"):
        await asyncio.to_thread(asyncio.run, run(command(tmp_path, "pass"), seconds_max=10))
