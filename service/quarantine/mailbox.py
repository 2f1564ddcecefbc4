"""What all mailers of an errors zone know together: which mails went out lately, and who is sending one now.

One object, `fingerprints/_mailbox.json`, that changes by compare-and-set only. A mail is claimed, so that one mailer
sends it, for as long as a lease; who claims uses up one of the hour's mails, whatever becomes of it. Pure: nothing here
waits.
"""

import json
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from service.quarantine.states import Told, moment

VERSION = 1
KEY = "fingerprints/_mailbox.json"
CLAIM_SECONDS_MAX = 30.0
"""For claiming; a claim that took longer is not used."""
PUBLISH_SECONDS_MAX = 20.0
"""For one call; after that it has failed."""
LEASE_SECONDS = 120.0
"""Of a claim: long enough to publish and to write that down, also when the store is slow."""
HOUR_SECONDS = 3_600.0 + CLAIM_SECONDS_MAX + PUBLISH_SECONDS_MAX
"""A mail may go out that much later than its claim says, and the next one at once."""


def within(since: datetime | None, now: datetime, seconds: float) -> bool:
    """Whether less time has gone since then. A moment that lies further ahead than that is a wrong clock's: past."""
    return since is not None and abs((now - since).total_seconds()) < seconds


@dataclass(frozen=True, slots=True)
class Claim:
    """A mail that somebody is sending: who, since when, what it says. `published_at` is set as soon as it went out."""

    by: str
    at: datetime
    told: tuple[Told, ...]
    published_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Mailbox:
    """`mails` are the moments of the hour's claims. After `failures` in a row nobody tries before `retry_at`."""

    mails: tuple[datetime, ...] = ()
    claim: Claim | None = None
    failures: int = 0
    retry_at: datetime | None = None

    def held(self, now: datetime) -> bool:
        """Whether somebody is sending a mail, and still may."""
        return self.claim is not None and within(self.claim.at, now, LEASE_SECONDS)

    def free(self, now: datetime) -> bool:
        """Whether a mail may be claimed: nobody is sending one, none is to be written down, none failed just now."""
        if self.claim is not None and (self.held(now) or self.claim.published_at is not None):
            return False
        ahead = 0.0 if self.retry_at is None else (self.retry_at - now).total_seconds()
        return not 0 < ahead <= HOUR_SECONDS

    def used(self, now: datetime) -> int:
        """How many of an hour's mails are used up."""
        return sum(within(mail, now, HOUR_SECONDS) for mail in self.mails)

    def unfinished(self, by: str, now: datetime) -> Claim | None:
        """A mail that went out and that is still to be written down: our own, or one whose sender has not come back."""
        out = self.claim is not None and self.claim.published_at is not None
        return self.claim if self.claim is not None and out and (self.claim.by == by or not self.held(now)) else None

    def claimed(self, by: str, told: tuple[Told, ...], now: datetime) -> "Mailbox":
        """It is ours to send that."""
        lately = tuple(mail for mail in self.mails if within(mail, now, HOUR_SECONDS))
        return replace(self, mails=(*lately, now), claim=Claim(by, now, told))

    def published(self, by: str, at: datetime) -> "Mailbox":
        """Our mail went out. Nothing changes when the claim is not ours any more."""
        if self.claim is None or self.claim.by != by or self.claim.published_at is not None:
            return self
        return replace(self, claim=replace(self.claim, published_at=at), failures=0, retry_at=None)

    def failed(self, by: str, retry_at: datetime) -> "Mailbox":
        """Our mail did not go out: anybody may try it again then."""
        if self.claim is None or self.claim.by != by or self.claim.published_at is not None:
            return self
        return replace(self, claim=None, failures=self.failures + 1, retry_at=retry_at)

    def finished(self, claim: Claim) -> "Mailbox":
        """What that mail told is written down everywhere."""
        return replace(self, claim=None) if self.claim == claim else self

    def to_json(self) -> bytes:
        """The object's body."""
        return json.dumps({"v": VERSION, **asdict(self)}, default=datetime.isoformat, indent=1).encode()

    @classmethod
    def from_json(cls, body: bytes | None) -> "Mailbox":
        """Read a body; an empty mailbox for none, and for what `to_json` would not write."""
        try:
            given: dict[str, Any] = json.loads(body or b"null")
            if given["v"] != VERSION:
                return cls()
            mails = tuple(moment(mail) for mail in given["mails"])
            return cls(mails, _claim(given["claim"]), int(given["failures"]), _maybe(given["retry_at"]))
        except (ValueError, TypeError, KeyError, ArithmeticError, RecursionError):
            return cls()


def _claim(given: dict[str, Any] | None) -> Claim | None:
    if given is None:
        return None
    return Claim(str(given["by"]), moment(given["at"]), tuple(map(_told, given["told"])), _maybe(given["published_at"]))


def _told(given: dict[str, Any]) -> Told:
    lost = int(given.get("lost", 0))  # older versions tell of none
    return Told(str(given["fingerprint"]), int(given["failed"]), bool(given["resolved"]), lost)


def _maybe(given: str | None) -> datetime | None:
    return None if given is None else moment(given)
