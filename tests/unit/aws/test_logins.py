"""Logins that AWS gives: kept while they are fresh, fetched once for all who wait, read again after a refusal."""

import asyncio
import math

import pytest

from service.aws.credentials.logins import FETCH_INTERVAL_SECONDS_MIN, Fetched, GivenLogin, KeptLogins, Login
from service.core.errors import AcequiaError, SetupError, TransientError
from tests.unit.aws.clock import HandClock

FRESH_SECONDS, VALID_SECONDS = 600.0, 900.0
INTERVAL = float(FETCH_INTERVAL_SECONDS_MIN)
DOWN = TransientError("secretsmanager", "could not read (ConnectTimeoutError)")
FORBIDDEN = SetupError("secretsmanager: not allowed to read")


class Source:
    """Gives p1, p2, …; `closed` holds every call until it is set, `wrong` makes it fail, `password` fixes it."""

    def __init__(self) -> None:
        self.calls = 0
        self.wrong: AcequiaError | None = None
        self.password: str | None = None
        self.valid_seconds = VALID_SECONDS
        self.open = asyncio.Event()
        self.open.set()

    async def fetch(self) -> Fetched:
        self.calls += 1
        number = self.calls
        await self.open.wait()
        if self.wrong is not None:
            raise self.wrong
        return Fetched(Login("loader", self.password or f"p{number}"), FRESH_SECONDS, self.valid_seconds)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def logins(source: Source, clock: HandClock) -> KeptLogins:
    return KeptLogins(source.fetch, advice="look there", clock=clock)


async def password(logins: KeptLogins) -> str | None:
    return (await logins.current()).password


async def waiting(logins: KeptLogins, source: Source, number: int) -> list[asyncio.Task[str | None]]:
    """That many connections that open while AWS has not yet answered the first."""
    source.open.clear()
    tasks = [asyncio.create_task(password(logins), name=f"connection-{each}") for each in range(number)]
    for _ in range(5):  # let all of them come as far as they can
        await asyncio.sleep(0)
    assert source.calls > 0
    return tasks


class TestFreshness:
    async def test_a_login_is_kept_while_it_is_fresh_and_then_fetched_anew(
        self, logins: KeptLogins, clock: HandClock
    ) -> None:
        assert await password(logins) == "p1"
        clock.seconds = FRESH_SECONDS - 1
        assert await password(logins) == "p1"
        clock.seconds = FRESH_SECONDS
        assert await password(logins) == "p2"

    async def test_its_age_counts_from_the_question_not_from_the_answer(
        self, logins: KeptLogins, source: Source, clock: HandClock
    ) -> None:
        [task] = await waiting(logins, source, 1)
        clock.seconds = 100
        source.open.set()
        assert await task == "p1"
        clock.seconds = FRESH_SECONDS
        assert await password(logins) == "p2"

    async def test_while_aws_is_away_one_that_is_still_valid_serves(
        self, logins: KeptLogins, source: Source, clock: HandClock
    ) -> None:
        await logins.current()
        source.wrong = DOWN
        clock.seconds = FRESH_SECONDS
        assert await password(logins) == "p1"
        clock.seconds = VALID_SECONDS
        with pytest.raises(TransientError):
            await logins.current()

    async def test_an_aws_that_is_away_is_asked_again_after_an_interval_only(
        self, logins: KeptLogins, source: Source, clock: HandClock
    ) -> None:
        await logins.current()
        source.wrong = DOWN
        clock.seconds = FRESH_SECONDS
        await logins.current()
        clock.seconds += INTERVAL - 1
        assert await password(logins) == "p1"
        assert source.calls == 2
        clock.seconds += 1
        source.wrong = None
        assert await password(logins) == "p3"

    async def test_a_missing_permission_is_told_even_if_the_old_login_is_still_valid(
        self, logins: KeptLogins, source: Source, clock: HandClock
    ) -> None:
        await logins.current()
        source.wrong = FORBIDDEN
        clock.seconds = FRESH_SECONDS
        for _ in range(2):
            with pytest.raises(SetupError, match="not allowed"):
                await logins.current()

    async def test_no_text_form_shows_the_password(self, logins: KeptLogins) -> None:
        login = await logins.current()
        assert "p1" not in f"{login} {login!r} {Fetched(login, 1, 1)!r}"


class TestOneFetchAtATime:
    async def test_connections_that_open_together_make_one_call(self, logins: KeptLogins, source: Source) -> None:
        tasks = await waiting(logins, source, 5)
        source.open.set()
        assert await asyncio.gather(*tasks) == ["p1"] * 5
        assert source.calls == 1

    async def test_so_do_those_that_wait_for_a_renewal(
        self, logins: KeptLogins, source: Source, clock: HandClock
    ) -> None:
        await logins.current()
        clock.seconds = FRESH_SECONDS
        tasks = await waiting(logins, source, 5)
        source.open.set()
        assert await asyncio.gather(*tasks) == ["p2"] * 5

    async def test_a_failure_is_told_to_all_who_waited_and_to_nobody_later(
        self, logins: KeptLogins, source: Source
    ) -> None:
        source.wrong = DOWN
        tasks = await waiting(logins, source, 3)
        source.open.set()
        assert await asyncio.gather(*tasks, return_exceptions=True) == [DOWN] * 3
        assert source.calls == 1
        source.wrong = None
        assert await password(logins) == "p2"

    @pytest.mark.parametrize("cancelled", [0, 1, 2])
    async def test_one_that_is_cancelled_does_not_break_the_others(
        self, logins: KeptLogins, source: Source, cancelled: int
    ) -> None:
        tasks = await waiting(logins, source, 3)
        tasks[cancelled].cancel()
        await asyncio.wait([tasks[cancelled]])
        source.open.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(results.pop(cancelled), asyncio.CancelledError)
        assert len(set(results)) == 1
        assert isinstance(results[0], str)

    async def test_with_all_of_them_cancelled_the_next_one_fetches(self, logins: KeptLogins, source: Source) -> None:
        tasks = await waiting(logins, source, 2)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        source.open.set()
        assert await password(logins) == "p2"


class TestRefusals:
    async def test_a_refused_login_is_fetched_anew(self, logins: KeptLogins, clock: HandClock) -> None:
        refused = await logins.current()
        clock.seconds = INTERVAL
        assert await logins.after_refusal(refused) == Login("loader", "p2")
        assert await password(logins) == "p2"

    async def test_but_not_sooner_than_the_interval_after_the_last_time(
        self, logins: KeptLogins, source: Source, clock: HandClock
    ) -> None:
        refused = await logins.current()
        clock.seconds = INTERVAL - 1
        assert await logins.after_refusal(refused) is None
        assert source.calls == 1

    async def test_a_failed_question_counts_as_one(self, logins: KeptLogins, source: Source, clock: HandClock) -> None:
        refused = await logins.current()
        source.wrong = DOWN
        clock.seconds = INTERVAL
        with pytest.raises(TransientError):
            await logins.after_refusal(refused)
        clock.seconds += INTERVAL - 1
        assert await logins.after_refusal(refused) is None
        assert source.calls == 2

    async def test_the_same_password_again_is_not_tried_again(
        self, logins: KeptLogins, source: Source, clock: HandClock
    ) -> None:
        source.password, source.valid_seconds = "never rotated", math.inf
        refused = await logins.current()
        clock.seconds = INTERVAL
        assert await logins.after_refusal(refused) is None
        assert source.calls == 2

    async def test_what_another_connection_has_renewed_meanwhile_serves(
        self, logins: KeptLogins, source: Source, clock: HandClock
    ) -> None:
        refused = await logins.current()
        clock.seconds = INTERVAL
        found = await asyncio.gather(*(logins.after_refusal(refused) for _ in range(4)))
        assert found == [Login("loader", "p2")] * 4
        assert await logins.after_refusal(refused) == Login("loader", "p2")
        assert source.calls == 2

    async def test_a_given_password_has_no_other(self) -> None:
        given = GivenLogin("hush")
        login = await given.current()
        assert (login.user, login.password) == (None, "hush")
        await given.after_refusal(login)
        assert await given.current() == login
