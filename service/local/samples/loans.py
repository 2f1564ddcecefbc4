"""A generated twin of a public log of loan applications: the same shape and numbers, nobody's data.

The original is the event log of the BPI Challenge 2012: 262,200 events of 13,087 applications at a bank. The twin
takes its step names, the fields of each step and about its shares, and is small or large as asked.
"""

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, NamedTuple

import orjson

from service.local.samples.loan_journeys import CHANGES, COMPLETION, FRAUD, INCOMPLETE, LEADS, OFFERS, VALIDATION
from service.local.samples.loan_journeys import loan_journeys as journeys_of

_START = datetime(2011, 9, 30, 22, tzinfo=UTC)
_SUMMER, _WINTER = timezone(timedelta(hours=2)), timezone(timedelta(hours=1))
_SUMMER_ENDS = datetime(2011, 10, 30, 1, tzinfo=UTC)
_SUMMER_BEGINS = datetime(2012, 3, 25, 1, tzinfo=UTC)

_DAY_MS = 86_400_000
_APPLYING_DAYS = 152
_LAST_MS = 182 * _DAY_MS
"""All that is not finished half a year after the first application happens faster, as in a log that was cut."""
_PAUSE_MS_MEAN = {"START": 50_000_000, "COMPLETE": 480_000, "SCHEDULE": 900}
_FIRST_APPLICATION, _APPLICATION_STEP = 173_688, 3

_AUTOMATIC_USER = "112"
_USERS = tuple(str(number) for number in range(10_609, 11_304, 11))
_NO_USER_SHARE: Mapping[str, float] = {
    f"W_{LEADS}": 0.099, f"W_{COMPLETION}": 0.118, f"W_{OFFERS}": 0.141, f"W_{INCOMPLETE}": 0.078,
    f"W_{VALIDATION}": 0.03, f"W_{FRAUD}": 0.006, f"W_{CHANGES}": 0.083,
}  # fmt: skip
_USUAL_AMOUNT_SHARE = 0.65
_USUAL_AMOUNTS = (5000, 5000, 5000, 10_000, 10_000, 15_000, 15_000, 20_000, 25_000, 6000, 8000, 7500, 50_000, 2500)


@dataclass(frozen=True, slots=True)
class LoanAnswers:
    """What any correct pipeline must count after it has loaded the twin."""

    rows: int
    distinct_event_ids: int
    applications: int
    rows_by_step: Mapping[str, int]
    amount_submitted_sum: int
    event_time_min: datetime
    event_time_max: datetime


class _Application(NamedTuple):
    application_id: str
    amount_requested: int
    registered_ms: int


class _Event(NamedTuple):
    """Sorted by time; the two numbers decide between events of one millisecond."""

    at_ms: int
    application: int
    sequence: int
    step: str
    transition: str
    user: str | None


def loan_events(
    *, applications: int = 13_087, events: int = 262_200, seed: int = 2012
) -> tuple[Iterator[str], LoanAnswers]:
    """The twin's records in time order, one JSON object each, and the known answers about them.

    Everything is planned before it returns, for the default in under a second and some 60 MB; the texts are written
    one by one as they are asked for. Raises ValueError for less than one application or three events for each.
    """
    rng = random.Random(seed)
    journeys = journeys_of(rng, applications, events)
    applied = _applications(rng, applications)
    planned = [
        event
        for number, (application, journey) in enumerate(zip(applied, journeys, strict=True))
        for event in _events(rng, number, application, journey)
    ]
    planned.sort()
    return _texts(applied, planned), _answers(applied, planned)


def _applications(rng: random.Random, count: int) -> list[_Application]:
    """Applications in the order in which they came in; most by day."""
    moments = sorted(
        rng.randrange(_APPLYING_DAYS) * _DAY_MS + int(rng.triangular(0, _DAY_MS - 1, _DAY_MS * 0.6))
        for _ in range(count)
    )
    return [
        _Application(
            application_id=str(_FIRST_APPLICATION + _APPLICATION_STEP * number),
            amount_requested=_amount(rng),
            registered_ms=moment,
        )
        for number, moment in enumerate(moments)
    ]


def _amount(rng: random.Random) -> int:
    """Mostly a round sum; the others are spread out with a long tail."""
    if rng.random() < _USUAL_AMOUNT_SHARE:
        return rng.choice(_USUAL_AMOUNTS)
    return min(99_999, 500 + int(rng.expovariate(1 / 9_000)))


def _events(
    rng: random.Random, number: int, application: _Application, journey: Sequence[tuple[str, str]]
) -> Iterator[_Event]:
    pauses = [0, *(_pause_ms(rng, step, transition) for step, transition in journey[1:])]
    room = _LAST_MS - application.registered_ms
    squeeze = min(1.0, room / max(1, sum(pauses)))
    at_ms = application.registered_ms
    for sequence, ((step, transition), pause) in enumerate(zip(journey, pauses, strict=True), start=1):
        at_ms += int(pause * squeeze)
        yield _Event(at_ms, number, sequence, step, transition, _user(rng, step))


def _pause_ms(rng: random.Random, step: str, transition: str) -> int:
    """How long after the one before it an event happens: states follow at once, people come the next day."""
    mean = _PAUSE_MS_MEAN[transition] if step.startswith("W_") else 20_000
    return 1 + int(rng.expovariate(1 / mean))


def _user(rng: random.Random, step: str) -> str | None:
    if step in {"A_SUBMITTED", "A_PARTLYSUBMITTED"}:
        return _AUTOMATIC_USER
    return None if rng.random() < _NO_USER_SHARE.get(step, 0.0) else rng.choice(_USERS)


def _texts(applied: Sequence[_Application], planned: Sequence[_Event]) -> Iterator[str]:
    for event in planned:
        yield orjson.dumps(_record(applied[event.application], event)).decode()


def _record(application: _Application, event: _Event) -> dict[str, Any]:
    """The fields in the original's order; `user` is left out, not null, where nobody is known."""
    record: dict[str, Any] = {
        "event_id": f"{application.application_id}-{event.sequence:04d}",
        "timestamp": _local_time(event.at_ms),
        "application_id": application.application_id,
        "step": event.step,
        "transition": event.transition,
    }
    if event.user is not None:
        record["user"] = event.user
    kind, name = event.step[0], event.step[2:]
    if kind == "W":
        record["work_item"] = {"queue": name}
    elif kind == "O":
        record["offer"] = {"stage": name.lower()}
    else:
        registered_at = _local_time(application.registered_ms)
        record["application"] = {"amount_requested": application.amount_requested, "registered_at": registered_at}
    return record


def _local_time(at_ms: int) -> str:
    at = _START + timedelta(milliseconds=at_ms)
    zone = _WINTER if _SUMMER_ENDS <= at < _SUMMER_BEGINS else _SUMMER
    return at.astimezone(zone).isoformat(timespec="milliseconds")


def _answers(applied: Sequence[_Application], planned: Sequence[_Event]) -> LoanAnswers:
    return LoanAnswers(
        rows=len(planned),
        distinct_event_ids=len({(event.application, event.sequence) for event in planned}),
        applications=len(applied),
        rows_by_step=Counter(event.step for event in planned),
        amount_submitted_sum=sum(application.amount_requested for application in applied),
        event_time_min=_START + timedelta(milliseconds=planned[0].at_ms),
        event_time_max=_START + timedelta(milliseconds=planned[-1].at_ms),
    )
