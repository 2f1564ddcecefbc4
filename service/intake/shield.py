"""Asks not to be stopped by a scale-in while something is being made durable.

A courtesy, no safety: a task that is stopped all the same loses nothing. So nothing here delays the work or fails it;
a request that fails is told, and made again when it would have been renewed.
"""

import asyncio
import math
from contextlib import suppress
from typing import Protocol

from service.core.clock import Deadline
from service.core.errors import TransientError
from service.core.events import ShieldFailed
from service.core.ports import Clock, Emit
from service.intake.busy import Busy

EXPIRES_SECONDS = 900
"""Short, because a deployment waits for protected tasks; a process that dies is protected for no longer than that."""
RENEW_SECONDS = 300
LINGER_SECONDS = 30
"""Work comes in waves: between two of them the shield stays up."""


class Protection(Protocol):
    """Whoever stops tasks."""

    async def ask(self, *, protected: bool, expires_seconds: int) -> None:
        """Have this task spared, or not any more; raises TransientError."""
        ...


class Shield:
    """Runs beside the layers, and ends after their work."""

    def __init__(self, protection: Protection, busy: Busy, *, clock: Clock, emit: Emit) -> None:
        self._protection = protection
        self._busy = busy
        self._clock = clock
        self._emit = emit
        self._draining = False
        self._wake = asyncio.Event()
        busy.watch(self._wake.set)
        self._asked_at: float | None = None
        """When we last asked to be spared; None while we have not, or have taken it back."""

    def drain(self, deadline: Deadline) -> None:  # noqa: ARG002 (has nothing that takes long)
        """End with the work that is under way."""
        self._draining = True
        self._wake.set()

    async def run(self) -> None:
        """Up while there is work, down a little after it."""
        try:
            while self._busy or not self._draining:
                if self._busy:
                    await self._up()
                    await self._turned(self._renew_at() - self._clock.monotonic())
                elif not await self._turned(LINGER_SECONDS):
                    await self._down()
        finally:
            await self._down()

    async def _up(self) -> None:
        now = self._clock.monotonic()
        if now >= self._renew_at():
            self._asked_at = now
            await self._ask(protected=True)

    def _renew_at(self) -> float:
        return -math.inf if self._asked_at is None else self._asked_at + RENEW_SECONDS

    async def _down(self) -> None:
        if self._asked_at is not None:
            self._asked_at = None
            await self._ask(protected=False)

    async def _ask(self, *, protected: bool) -> None:
        try:
            await self._protection.ask(protected=protected, expires_seconds=EXPIRES_SECONDS)
        except TransientError as wrong:
            self._emit(ShieldFailed(str(wrong)))

    async def _turned(self, seconds: float) -> bool:
        """Whether work began or ended, or a drain was asked for, within that time."""
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    return await self._wake.wait()
            return False
        finally:
            self._wake.clear()
