"""A mailer at work: few mails, each in time; SNS or the store away costs nothing but time."""

import asyncio
import itertools
from datetime import timedelta

import pytest

from service.core.clock import LETTING_GO_SECONDS, Deadline
from service.core.errors import SetupError, TransientError
from service.core.events import MailFailed, MailSent
from service.quarantine.mailbox import LEASE_SECONDS, PUBLISH_SECONDS_MAX, Mailbox
from service.quarantine.mailer import LOOK_SECONDS
from service.quarantine.states import States
from tests.fakes.queue import EPOCH
from tests.fakes.time import LoopClock, run_virtual
from tests.unit.quarantine.post import HOUR, ONE, OTHER, ZONE, Post, run

AWAY = TransientError("sns", "it is away")


def test_ten_thousand_failures_of_one_cause_are_one_mail_then_one_a_quarter_of_an_hour() -> None:
    async def main(post: Post) -> None:
        async with post.working(post.mailer(), post.mailer()):
            for _ in range(100):
                await post.fail(ONE, count=100)
                await asyncio.sleep(36)
            await asyncio.sleep(HOUR)

    post = run(main)
    assert 30 <= post.sent_at[0] <= 30 + LOOK_SECONDS
    gaps = [later - earlier for earlier, later in itertools.pairwise(post.sent_at)]
    assert len(gaps) == 4
    assert all(900 <= gap <= 900 + LOOK_SECONDS for gap in gaps)
    assert post.settled()
    assert [state.mailed for state in post.states()] == [10_000]
    assert [type(event) for event in post.heard] == [MailSent] * 5


def test_what_appears_together_shares_a_mail_and_what_is_resolved_is_mailed() -> None:
    async def main(post: Post) -> None:
        async with post.working(post.mailer()):
            await post.fail(ONE)
            await asyncio.sleep(20)
            await post.fail(OTHER, count=3)
            await asyncio.sleep(1_000)
            states = States(ZONE, post.means())
            [seen] = await states.read([OTHER])
            await states.mark(seen, "resolved")
            await asyncio.sleep(100)

    post = run(main)
    assert [subject for subject, _ in post.topic.mails] == [
        "Acequia: new: 2 kinds of failure (4)",
        "Acequia: resolved: bad_type in loans",
    ]
    assert post.heard == [MailSent(2, 0, 0), MailSent(0, 0, 1)]
    assert post.settled()


def test_no_hour_has_more_mails_than_its_budget() -> None:
    async def main(post: Post) -> None:
        async with post.working(post.mailer(), post.mailer()):
            for number in range(120):
                await post.fail(f"{number:016x}", f"{number // 2:016x}")
                await asyncio.sleep(40)
            await asyncio.sleep(3 * HOUR)

    post = run(main)
    assert len(post.sent_at) >= 20
    assert all(sum(at <= other < at + HOUR for other in post.sent_at) <= 20 for at in post.sent_at)
    assert post.settled()


def test_a_slow_mail_and_a_quick_one_are_an_hour_apart_where_one_an_hour_may_go() -> None:
    async def main(post: Post) -> None:
        class SlowAtFirst:
            seconds = PUBLISH_SECONDS_MAX - 1

            async def publish(self, subject: str, text: str) -> None:
                await asyncio.sleep(self.seconds)
                self.seconds = 0.0
                await post.topic.publish(subject, text)

        async with post.working(post.mailer(notifier=SlowAtFirst(), hour_max=1)):
            await post.fail(ONE)
            await asyncio.sleep(100)
            await post.fail(OTHER)
            await asyncio.sleep(2 * HOUR)

    first, second = run(main).sent_at
    assert second - first >= HOUR


def test_sns_is_away_for_hours_and_then_one_mail_says_it_all() -> None:
    async def main(post: Post) -> None:
        await post.fail(ONE)
        back = 6 * HOUR
        tries: list[float] = []

        def away(effect: str) -> None:
            if effect == "sns publish":
                tries.append(LoopClock().monotonic())
                if tries[-1] < back:
                    raise AWAY

        post.journal.before = away
        async with post.working(post.mailer(), post.mailer()):
            for number in range(60):
                await post.fail(ONE, f"{number % 3:016x}", count=10)
                await asyncio.sleep(360)
            await asyncio.sleep(HOUR)
        in_vain = [at for at in tries if at < back]
        assert len(in_vain) <= 40, "the two of them try together"
        assert all(sum(at <= other < at + HOUR for other in tries) <= 20 for at in tries)

    post = run(main)
    assert post.sent_at[0] <= 6 * HOUR + 900 + LOOK_SECONDS
    assert [subject for subject, _ in post.topic.mails] == ["Acequia: new: 4 kinds of failure (1,201)"]
    assert post.settled()
    assert {type(event) for event in post.heard[:-1]} == {MailFailed}
    assert post.heard[-1] == MailSent(4, 0, 0)


def test_a_topic_that_is_not_set_up_is_told_as_such() -> None:
    async def main(post: Post) -> None:
        await post.fail(ONE)

        def gone(effect: str) -> None:
            if effect == "sns publish":
                raise SetupError("there is no such topic")

        post.journal.before = gone
        async with post.working(post.mailer()):
            await asyncio.sleep(60)

    [event] = run(main).heard
    assert isinstance(event, MailFailed)
    assert (event.kind, event.reason) == ("setup", "there is no such topic")
    assert 15 <= event.wait_seconds <= 30


def test_a_topic_that_hangs_is_left_before_the_lease_runs_out() -> None:
    class Hanging:
        calls = 0

        async def publish(self, subject: str, text: str) -> None:
            self.calls += 1
            await asyncio.sleep(10 * HOUR)

    async def main(post: Post) -> None:
        await post.fail(ONE)
        hanging = Hanging()
        async with post.working(post.mailer(notifier=hanging)):
            await asyncio.sleep(30 + LOOK_SECONDS + PUBLISH_SECONDS_MAX + 1)
            assert post.box().claim is None
            assert post.box().failures == 1
        assert hanging.calls == 1

    assert PUBLISH_SECONDS_MAX < LEASE_SECONDS / 2
    [event] = run(main).heard
    assert isinstance(event, MailFailed)


def test_the_store_is_away_and_mail_goes_on_when_it_is_back() -> None:
    async def main(post: Post) -> None:
        await post.fail(ONE)

        def away(effect: str) -> None:
            if 20 < LoopClock().monotonic() < HOUR:
                raise TransientError("s3", "it is away")

        post.journal.before = away
        async with post.working(post.mailer()):
            await asyncio.sleep(2 * HOUR)

    post = run(main)
    assert len(post.sent_at) == 1
    assert post.settled()


def test_the_store_is_away_just_when_a_mail_went_out() -> None:
    """What went out is kept in mind and written down within seconds of the store's return."""

    async def main(post: Post) -> None:
        await post.fail(ONE)
        away_until = 0.0

        def before(effect: str) -> None:
            if "lake-errors" in effect and LoopClock().monotonic() < away_until:
                raise TransientError("s3", "it is away")

        def after(effect: str) -> None:
            nonlocal away_until
            post.sent(effect)
            if effect == "sns publish":
                away_until = LoopClock().monotonic() + LEASE_SECONDS - 15

        post.journal.before, post.journal.after = before, after
        async with post.working(post.mailer(), post.mailer()):
            await asyncio.sleep(HOUR)

    post = run(main)
    assert len(post.sent_at) == 1
    assert post.settled()


def test_draining_ends_at_once_when_nothing_is_owed() -> None:
    async def main(post: Post) -> None:
        mailer = post.mailer()
        task = asyncio.ensure_future(mailer.run())
        await asyncio.sleep(50)
        await post.fail(ONE)
        began = LoopClock().monotonic()
        mailer.drain(Deadline.after(100, LoopClock()))
        await task
        assert LoopClock().monotonic() == began
        mailer.drain(Deadline.after(100, LoopClock()))
        late = post.mailer()
        late.drain(Deadline.after(100, LoopClock()))
        await late.run()

    assert run(main).sent_at == []


def test_no_mail_is_begun_while_draining() -> None:
    """It is told to drain while it reads what there is to tell."""

    async def main(post: Post) -> None:
        await post.fail(ONE)
        mailer = post.mailer()

        def drain(effect: str) -> None:
            if effect.startswith("list") and LoopClock().monotonic() >= 30:
                mailer.drain(Deadline.after(100, LoopClock()))

        post.journal.before = drain
        await mailer.run()

    post = run(main)
    assert (post.sent_at, post.box()) == ([], Mailbox())


def test_draining_writes_down_what_went_out_and_gives_up_in_time() -> None:
    async def main(back_after: float, post: Post) -> float:
        await post.fail(ONE)
        away_from, mailer = float("inf"), post.mailer()

        def before(effect: str) -> None:
            if "lake-errors" in effect and away_from <= LoopClock().monotonic() < away_from + back_after:
                raise TransientError("s3", "it is away")

        def after(effect: str) -> None:
            nonlocal away_from
            if effect == "sns publish":
                away_from = LoopClock().monotonic()
                mailer.drain(Deadline.after(60, LoopClock()))

        post.journal.before, post.journal.after = before, after
        await mailer.run()
        return LoopClock().monotonic() - away_from

    post = Post()
    assert run_virtual(main(20, post)) <= 30
    assert post.settled()
    post = Post()
    assert run_virtual(main(HOUR, post)) == pytest.approx(60 - LETTING_GO_SECONDS)
    assert not post.settled()


def test_a_mailbox_holds_no_more_than_an_hour() -> None:
    async def main(post: Post) -> None:
        async with post.working(post.mailer()):
            for number in range(60):
                await post.fail(f"{number:016x}")
                await asyncio.sleep(300)

    post = run(main)
    assert len(post.sent_at) == 60
    assert len(post.box().mails) <= 13
    assert EPOCH + timedelta(seconds=post.sent_at[-1]) >= post.box().mails[-1]
