"""Tells people by mail what failed. A worker of its own beside the layers: SNS being down delays nothing but mail.

Any number of mailers on one errors zone send each mail once. Durable effects of a mail, in this order, and what a crash
after each costs:

1. The mail is claimed in the mailbox, and one of the hour's mails is used up. A crash: another mailer sends it when the
   lease has run out, with what has failed by then.
2. SNS has it. A crash: nobody knows, so it is sent once more when the lease has run out. This is the one way to two
   mails, beside a clock that is wrong by more than a minute and an answer of SNS that is lost.
3. The mailbox says that it went out. A crash: whoever comes next writes the rest down; nothing is sent.
4. Each fingerprint says what was told of it. A crash: as before; writing it again changes nothing.
5. The claim is taken away.

A mail that SNS does not take is given back, with a moment before which no mailer tries again: the waits grow, and the
next try has in one mail all that has failed by then. Each try uses up one of the hour's mails, because SNS may have it.
"""

import asyncio
from collections.abc import Callable
from datetime import timedelta

from service.core.clock import Deadline
from service.core.errors import SetupError, TransientError
from service.core.events import MailFailed, MailSent
from service.core.ports import Means, Notifier
from service.core.retry import Backoff, Down
from service.core.zones import Zone
from service.quarantine.digest import Mail, MailLimits, due
from service.quarantine.look import Look
from service.quarantine.mailbox import CLAIM_SECONDS_MAX, KEY, PUBLISH_SECONDS_MAX, Claim, Mailbox
from service.quarantine.states import States, amend
from service.quarantine.until_drained import UntilDrained

LOOK_SECONDS = 15.0
"""Between two looks at what there is to tell."""
OWED_SECONDS = 5.0
"""Between two tries to write down what went out: that should be done before the lease has run out."""


Change = Callable[[Mailbox], Mailbox]


class Mailer:
    """`who` is a name that no other mailer has or ever had: it tells claims apart."""

    def __init__(
        self,
        notifier: Notifier,
        *,
        zone: Zone,
        who: str,
        limits: MailLimits,
        backoff: Backoff,
        means: Means,
        told: Callable[[MailSent | MailFailed], None],
    ) -> None:
        self._notifier = notifier
        self._uri = zone.uri(KEY)
        self._who = who
        self._limits = limits
        self._backoff = backoff
        self._means = means
        self._told = told
        self._states = States(zone, means)
        self._look = Look(zone, self._states, means)
        self._life = UntilDrained()
        self._owed: Change | None = None
        """What became of a mail of ours, until the mailbox says so; nothing else is done before."""

    def drain(self, deadline: Deadline) -> None:
        """Begin no mail any more; what went out is written down if that can be by then."""
        self._life.drain(deadline)

    async def run(self) -> None:
        """Look, tell, rest, until drained."""
        await self._life.run(self._work)

    async def _work(self) -> None:
        failures = 0
        while self._owed is not None or not self._life.draining.is_set():
            try:
                await self._step()
                failures, wait = 0, LOOK_SECONDS
            except (TransientError, SetupError) as down:
                failures += 1
                wait = self._backoff.seconds(failures)
                if self._owed is not None:
                    wait = min(wait, OWED_SECONDS)
                self._told_failed(down, wait)
            await self._rest(wait)

    async def _step(self) -> None:
        """Write down what went out, or else send what is due."""
        if self._owed is not None:
            await self._amend(self._owed)
            self._owed = None
        found = await self._means.store.read(self._uri)
        body, etag = (None, None) if found is None else found
        mailbox, now = Mailbox.from_json(body), self._means.clock.now()
        claim = mailbox.unfinished(self._who, now)
        if claim is not None:
            await self._write_down(claim)
        elif mailbox.free(now):
            await self._tell(mailbox, etag)

    async def _tell(self, mailbox: Mailbox, etag: str | None) -> None:
        """Send what is due, unless somebody else changes the mailbox first; it was read before the fingerprints."""
        clock = self._means.clock
        hint = due(await self._look.states(), mailbox, clock.now(), self._limits)
        if hint is None:
            return
        states = await self._states.read(one.fingerprint for one in hint.told)
        now, began = clock.now(), clock.monotonic()
        mail = due(states, mailbox, now, self._limits)
        if mail is None or self._life.draining.is_set():
            return
        claimed = mailbox.claimed(self._who, mail.told, now)
        won = await self._means.store.replace(self._uri, claimed.to_json(), etag=etag) is not None
        if won and clock.monotonic() - began <= CLAIM_SECONDS_MAX:
            await self._send(mail, mailbox.failures)

    async def _send(self, mail: Mail, failures: int) -> None:
        down = await self._publish(mail)
        now = self._means.clock.now()
        if down is None:
            failing = mail.kinds.get("more", 0) + mail.kinds.get("lost", 0)
            self._told(MailSent(mail.kinds.get("new", 0), failing, mail.kinds.get("resolved", 0)))
            self._owed = lambda mailbox: mailbox.published(self._who, now)
        else:
            seconds = self._backoff.seconds(failures + 1)
            self._told_failed(down, seconds)
            self._owed = lambda mailbox: mailbox.failed(self._who, now + timedelta(seconds=seconds))
        await self._step()

    async def _publish(self, mail: Mail) -> Down | None:
        """What stood in the way, if anything did."""
        try:
            async with asyncio.timeout(PUBLISH_SECONDS_MAX):
                await self._notifier.publish(mail.subject, mail.text)
        except (TransientError, SetupError) as down:
            return down
        except TimeoutError:
            return TransientError("sns", f"no answer within {PUBLISH_SECONDS_MAX:g} s")
        return None

    async def _write_down(self, claim: Claim) -> None:
        assert claim.published_at is not None, "it went out"
        await self._states.told(claim.told, claim.published_at)
        await self._amend(lambda mailbox: mailbox.finished(claim))

    async def _amend(self, change: Change) -> None:
        await amend(self._means.store, self._uri, lambda body: change(Mailbox.from_json(body)).to_json())

    def _told_failed(self, down: Down, seconds: float) -> None:
        self._told(MailFailed("setup" if isinstance(down, SetupError) else "transient", str(down), seconds))

    async def _rest(self, seconds: float) -> None:
        """Draining ends it, except while something is owed."""
        if self._life.draining.is_set():
            await self._means.clock.sleep(seconds if self._owed is not None else 0.0)
        else:
            await self._life.rest(seconds)
