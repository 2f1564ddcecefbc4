"""The stream of well-formed onboarding events: whoever is due takes the next step, otherwise somebody new applies."""

import heapq
import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from service.local.samples.applicants import Applicant, new_applicant
from service.local.samples.steps import FIELDS, Visit

_PAUSE_SECONDS_MEAN = {
    "account_opened": 900,
    "document_uploaded": 600,
    "document_checked": 14_000,
    "address_confirmed": 40_000,
    "liveness_checked": 1_200,
    "risk_scored": 60_000,
    "contract_signed": 25_000,
}
"""How long people wait after a step, before the next one."""
_PRECISION = {"mobile": "microseconds", "web": "milliseconds", "branch": "seconds"}
_SESSION_BITS = 62


class Onboardings:
    """Everybody whose onboarding is under way. Memory grows with those only, not with all who ever applied."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._due: list[tuple[datetime, int, Applicant]] = []
        self._applied = 0

    def event(self, now: datetime) -> dict[str, Any]:
        """The event that happens at that moment; moments must not go backwards."""
        number, who = self._next(now)
        stage = who.stages.pop()
        if who.stages:
            pause = self._rng.expovariate(1 / _PAUSE_SECONDS_MEAN[stage.step])
            heapq.heappush(self._due, (now + timedelta(seconds=pause), number, who))
        at = now.astimezone(who.zone)
        return {
            "event_id": f"{self._rng.getrandbits(128):032x}",
            "occurred_at": _moment(at, who.channel),
            "step": stage.step,
            "applicant": {"id": who.applicant_id},
            "channel": who.channel,
            "country": who.country,
            # Up to 19 digits, where a reader that goes through floating point loses the last ones.
            "session_number": self._rng.getrandbits(_SESSION_BITS),
            **FIELDS[stage.step](Visit(who, stage, at, self._rng)),
        }

    def _next(self, now: datetime) -> tuple[int, Applicant]:
        if self._due and self._due[0][0] <= now:
            _, number, who = heapq.heappop(self._due)
            return number, who
        self._applied += 1
        return self._applied, new_applicant(self._rng, self._applied)


def _moment(at: datetime, channel: str) -> str:
    """ISO 8601 as the channel writes it: partners in UTC with a Z, the others with their offset."""
    if channel == "partner":
        return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return at.isoformat(timespec=_PRECISION[channel])


def written(event: dict[str, Any]) -> str:
    """The event as its sender writes it: partners escape everything beyond ASCII, the others send it as it is."""
    if event["channel"] == "partner":
        return json.dumps(event)
    return orjson.dumps(event).decode()
