"""With which user and password a new connection logs in to the warehouse, and where they come from.

Asked once for each connection that opens: a session outlives the password that opened it. What AWS gave is kept until
shortly before it ends, and one call serves all connections that open meanwhile.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from service.core.errors import AcequiaError, TransientError
from service.core.ports import Clock

FETCH_INTERVAL_SECONDS_MIN = 30
"""After a refusal or a failed renewal, AWS is not asked sooner than that after the last time."""


@dataclass(frozen=True, slots=True)
class Login:
    """A user (None: the one that the DSN names) and the password, which no text form of this shows."""

    user: str | None
    password: str | None = field(repr=False)


class Logins(Protocol):
    """A source of logins. What it raises is TransientError or SetupError."""

    advice: str
    """Where an operator looks when the warehouse refuses the login."""

    async def current(self) -> Login:
        """The login for a connection that opens now."""
        ...

    async def after_refusal(self, refused: Login) -> Login | None:
        """Another login, because the warehouse refused this one; None when there is no other."""
        ...


class GivenLogin:
    """The user of the DSN, and a password that only a restart changes."""

    advice = "check ACEQUIA_WAREHOUSE_DSN and ACEQUIA_WAREHOUSE_PASSWORD"

    def __init__(self, password: str | None) -> None:
        self._login = Login(None, password)

    async def current(self) -> Login:
        """Always the same; None leaves the password to the DSN."""
        return self._login

    async def after_refusal(self, _refused: Login) -> None:
        """There is no other."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A login with the seconds, from its fetching on, until it is renewed and until it no longer opens anything."""

    login: Login
    fresh_seconds: float
    valid_seconds: float


Fetch = Callable[[], Awaitable[Fetched]]


@dataclass(frozen=True, slots=True)
class _Kept:
    login: Login
    fresh_until: float
    valid_until: float


class KeptLogins:
    """Logins that cost a call to AWS each: kept while fresh, fetched by one caller at a time.

    Those who wait for a running fetch share its outcome, a failure too; a failure is not kept for later callers. If
    the one who fetches is cancelled, the next in line fetches.
    """

    def __init__(self, fetch: Fetch, *, advice: str, clock: Clock) -> None:
        self.advice = advice
        self._fetch = fetch
        self._clock = clock
        self._kept: _Kept | None = None
        self._outcome: _Kept | AcequiaError | None = None
        self._asked_at = -math.inf
        self._turn = asyncio.Lock()

    async def current(self) -> Login:
        """The kept login while it is fresh, else a new one. While AWS is away, an old one that is still valid."""
        kept, now = self._kept, self._clock.monotonic()
        failed_lately = isinstance(self._outcome, TransientError) and not self._may_ask(now)
        if kept is not None and now < (kept.valid_until if failed_lately else kept.fresh_until):
            return kept.login
        try:
            return (await self._fetched()).login
        except TransientError:
            if kept is None or self._clock.monotonic() >= kept.valid_until:
                raise
            return kept.login

    async def after_refusal(self, refused: Login) -> Login | None:
        """What another connection renewed meanwhile, else what AWS says now, if that differs and it may be asked."""
        kept = self._kept
        if kept is not None and kept.login == refused:
            if not self._may_ask(self._clock.monotonic()):
                return None
            kept = await self._fetched()
        login = kept.login if kept is not None else await self.current()
        return login if login != refused else None

    def _may_ask(self, now: float) -> bool:
        return now >= self._asked_at + FETCH_INTERVAL_SECONDS_MIN

    async def _fetched(self) -> _Kept:
        known = self._outcome
        async with self._turn:
            if self._outcome is known:  # else somebody fetched while we waited for our turn
                self._outcome = await self._ask()
                self._asked_at = self._clock.monotonic()
        if isinstance(self._outcome, AcequiaError):
            raise self._outcome
        assert self._outcome is not None
        return self._outcome

    async def _ask(self) -> _Kept | AcequiaError:
        at = self._clock.monotonic()
        try:
            fetched = await self._fetch()
        except AcequiaError as wrong:
            return wrong
        self._kept = _Kept(fetched.login, at + fetched.fresh_seconds, at + fetched.valid_seconds)
        return self._kept
