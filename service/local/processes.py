"""Child processes that cannot be left behind.

A child gets a session of its own, so that a terminal's Ctrl-C reaches us first and we stop it in order. It is
stopped on every way out: normal, failed or cancelled. If we are killed outright, Linux kills it for us.
"""

import asyncio
import contextlib
import ctypes
import os
import pwd
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

LOG_TAIL_BYTES = 4096
LOG_TAIL_LINES = 15
POLL_SECONDS = 0.02
REAP_SECONDS_MAX = 5.0

_PR_SET_PDEATHSIG = 1


class ChildFailedError(Exception):
    """A child process ended, or was not ready in time; the text names it and quotes the end of its log."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """What to run and how to stop it. `account` is the user to become (only root may), None for ourselves."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    directory: Path
    log: Path
    account: pwd.struct_passwd | None
    stop_signal: signal.Signals
    stop_seconds_max: float


class Child:
    """A running child process. Made by `child` and `run` only, which own its end."""

    def __init__(self, command: Command, process: subprocess.Popen[bytes]) -> None:
        self._command = command
        self._process = process
        self._exited = asyncio.Event()
        self._reaper = threading.Thread(
            target=self._reap, args=(asyncio.get_running_loop(),), name=f"reap-{command.name}", daemon=True
        )
        self._reaper.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_status(self) -> int | None:
        """The exit status (negative: the signal that ended it), None while it runs."""
        return self._process.returncode

    async def exited(self, *, seconds_max: float) -> bool:
        """Wait until the child has ended, at most so many seconds; False if it still runs."""
        try:
            async with asyncio.timeout(seconds_max):
                await self._exited.wait()
        except TimeoutError:
            return False
        return True

    async def until_ready(self, probe: Callable[[], Awaitable[bool]], *, seconds_max: float) -> None:
        """Ask `probe` again and again until it says True.

        Raises ChildFailedError when the child ends first, or is not ready within `seconds_max`.
        """
        try:
            async with asyncio.timeout(seconds_max):
                while not await probe():
                    if await self.exited(seconds_max=POLL_SECONDS):
                        raise self.failure(f"ended with status {self.exit_status} before it was ready")
        except TimeoutError:
            raise self.failure(f"was not ready within {seconds_max:g} seconds") from None

    async def stop(self) -> None:
        """Ask the child to end, wait up to its limit, then kill it. It is gone afterwards, also if cancelled."""
        try:
            self._process.send_signal(self._command.stop_signal)
            await self.exited(seconds_max=self._command.stop_seconds_max)
        finally:
            if self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGKILL)
            self._reaper.join(REAP_SECONDS_MAX)

    def failure(self, what: str) -> ChildFailedError:
        return ChildFailedError(
            f"{self._command.name} {what}. The end of {self._command.log}:\n{_tail(self._command.log)}"
        )

    def _reap(self, loop: asyncio.AbstractEventLoop) -> None:
        self._process.wait()
        with contextlib.suppress(RuntimeError):  # the loop is closed when its owner gave up on us
            loop.call_soon_threadsafe(self._exited.set)


@contextlib.asynccontextmanager
async def child(command: Command) -> AsyncIterator[Child]:
    """Run a child for as long as the body runs.

    Raises ChildFailedError at the end if the child had ended by itself while the body succeeded.
    """
    running = Child(command, _spawn(command))
    try:
        yield running
        if running.exit_status is not None:
            raise running.failure(f"ended by itself with status {running.exit_status}")
    finally:
        await running.stop()


async def run(command: Command, *, seconds_max: float) -> None:
    """Run a child to its end. Raises ChildFailedError unless it ends with status 0 in time."""
    running = Child(command, _spawn(command))
    try:
        if not await running.exited(seconds_max=seconds_max):
            raise running.failure(f"did not end within {seconds_max:g} seconds")
        if running.exit_status != 0:
            raise running.failure(f"ended with status {running.exit_status}")
    finally:
        await running.stop()


def _spawn(command: Command) -> subprocess.Popen[bytes]:
    if threading.current_thread() is not threading.main_thread():
        # The kernel sends the death signal when the thread that forked ends, not the process.
        raise RuntimeError("Child processes must be started from the main thread.")
    account = command.account
    with command.log.open("wb") as log:
        return subprocess.Popen(
            command.argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=dict(command.env),
            cwd=command.directory,
            start_new_session=True,
            user=account.pw_uid if account else None,
            group=account.pw_gid if account else None,
            extra_groups=[] if account else None,
            preexec_fn=_die_with_parent(os.getpid()),  # noqa: PLW1509 - runs after the user switch, which clears it
        )


def _die_with_parent(parent_pid: int) -> Callable[[], None] | None:
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl  # looked up before the fork: the child should do little

    def before_exec() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent_pid:  # the parent died before the kernel knew of our wish
            os._exit(1)

    return before_exec


def _tail(log: Path) -> str:
    with log.open("rb") as file:
        size_bytes = file.seek(0, os.SEEK_END)
        file.seek(max(0, size_bytes - LOG_TAIL_BYTES))
        lines = file.read().decode(errors="replace").splitlines()
    return "\n".join(lines[-LOG_TAIL_LINES:])
