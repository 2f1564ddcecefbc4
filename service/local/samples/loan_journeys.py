"""The shapes of loan applications: which steps in which order, with the shares that a real bank's log shows."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

LEADS = "Afhandelen leads"
COMPLETION = "Completeren aanvraag"
OFFERS = "Nabellen offertes"
INCOMPLETE = "Nabellen incomplete dossiers"
VALIDATION = "Valideren aanvraag"
FRAUD = "Beoordelen fraude"
CHANGES = "Wijzigen contractgegevens"

_EXTRA_SESSIONS_WEIGHT: Mapping[str, float] = {
    LEADS: 0.24, COMPLETION: 2.2, OFFERS: 2.4, INCOMPLETE: 3.8, VALIDATION: 0.57, FRAUD: 0.2, CHANGES: 0.0,
}  # fmt: skip
_DECLINED_AT_ONCE = 0.262
_HAS_LEAD = 0.494
_LEAD_DECLINED = 0.48
_FRAUD_SUSPECTED = 0.0128
_NO_OFFER = 0.306
_SECOND_OFFER = 0.4
_SENT_BACK = 0.689
_FILE_INCOMPLETE = 0.69
_VALIDATED_AGAIN = 0.66
_ACCEPTED, _DECLINED, _CANCELLED = ("accepted", "declined", "cancelled")
_OUTCOMES = ((_ACCEPTED, _DECLINED, _CANCELLED), (0.65, 0.232, 0.118))
_CONTRACT_CHANGED = 0.0055
_EVENTS_MIN = 3


@dataclass(slots=True)
class Work:
    """A work item: scheduled once, then started and completed `sessions` times; some are completed once more."""

    queue: str
    sessions: int = 1
    completions_more: int = 0

    def events(self) -> list[tuple[str, str]]:
        """Its events as (step, transition)."""
        step = f"W_{self.queue}"
        session = [(step, "START"), (step, "COMPLETE")]
        return [(step, "SCHEDULE"), *session * self.sessions, *[(step, "COMPLETE")] * self.completions_more]


Journey = list[str | Work]
"""States by their names, and the work between them."""


def loan_journeys(rng: random.Random, applications: int, events: int) -> list[list[tuple[str, str]]]:
    """One list of (step, transition) an application, together exactly `events` long.

    Raises ValueError where there are no applications, or fewer events than the shortest ones need.
    """
    if applications < 1 or events < applications * _EVENTS_MIN:
        raise ValueError(f"an application has at least {_EVENTS_MIN} events, and there must be one")
    journeys = [_journey(rng) for _ in range(applications)]
    missing = _shorten(journeys, events)
    _lengthen(rng, journeys, missing)
    return [_unfold(journey) for journey in journeys]


def _shorten(journeys: list[Journey], events: int) -> int:
    """Declines applications at once, last first, until no more than `events` remain; returns how many are missing."""
    missing = events - sum(len(_unfold(journey)) for journey in journeys)
    for index in range(len(journeys) - 1, -1, -1):
        if missing >= 0:
            break
        missing += len(_unfold(journeys[index])) - _EVENTS_MIN
        journeys[index] = _declined_at_once()
    return missing


def _lengthen(rng: random.Random, journeys: Sequence[Journey], missing: int) -> None:
    """Adds the missing events as further sessions, where the real log has them."""
    items = [part for journey in journeys for part in journey if isinstance(part, Work)]
    if missing and not any(_EXTRA_SESSIONS_WEIGHT[item.queue] for item in items):
        # Only tiny samples have no work at all; a lead that is scheduled is one event by itself.
        items = [Work(LEADS, sessions=0)]
        journeys[0].insert(2, items[0])
        missing -= 1
    if missing % 2:
        rng.choice(items).completions_more += 1
    if missing > 1:
        for item in rng.choices(items, [_EXTRA_SESSIONS_WEIGHT[item.queue] for item in items], k=missing // 2):
            item.sessions += 1


def _unfold(journey: Journey) -> list[tuple[str, str]]:
    unfolded: list[tuple[str, str]] = []
    for part in journey:
        unfolded += part.events() if isinstance(part, Work) else [(part, "COMPLETE")]
    return unfolded


def _declined_at_once() -> Journey:
    return ["A_SUBMITTED", "A_PARTLYSUBMITTED", "A_DECLINED"]


def _journey(rng: random.Random) -> Journey:
    if rng.random() < _DECLINED_AT_ONCE:
        return _declined_at_once()
    steps: Journey = ["A_SUBMITTED", "A_PARTLYSUBMITTED"]
    if rng.random() < _FRAUD_SUSPECTED:
        steps.append(Work(FRAUD, sessions=2))
    if rng.random() < _HAS_LEAD:
        steps.append(Work(LEADS))
        if rng.random() < _LEAD_DECLINED:
            return [*steps, "A_DECLINED"]
    steps += ["A_PREACCEPTED", Work(COMPLETION)]
    if rng.random() < _NO_OFFER:
        return [*steps, rng.choice(("A_DECLINED", "A_CANCELLED"))]
    return [*steps, "A_ACCEPTED", "A_FINALIZED", *_offers(rng)]


def _offers(rng: random.Random) -> Journey:
    steps: Journey = [*_offer()]
    if rng.random() < _SECOND_OFFER:
        steps += ["O_CANCELLED", *_offer()]
    if rng.random() >= _SENT_BACK:
        return [*steps, *_ending(rng, _CANCELLED)]
    steps += ["O_SENT_BACK", Work(VALIDATION)]
    if rng.random() < _FILE_INCOMPLETE:
        steps.append(Work(INCOMPLETE))
        if rng.random() < _VALIDATED_AGAIN:
            steps.append(Work(VALIDATION))
    outcomes, weights = _OUTCOMES
    return [*steps, *_ending(rng, rng.choices(outcomes, weights)[0])]


def _offer() -> Journey:
    return ["O_SELECTED", "O_CREATED", "O_SENT", Work(OFFERS)]


def _ending(rng: random.Random, outcome: str) -> Journey:
    if outcome == _DECLINED:
        return ["O_DECLINED", "A_DECLINED"]
    if outcome == _CANCELLED:
        return ["O_CANCELLED", "A_CANCELLED"]
    steps: Journey = ["O_ACCEPTED", "A_REGISTERED", "A_APPROVED", "A_ACTIVATED"]
    return [*steps, Work(CHANGES, sessions=0)] if rng.random() < _CONTRACT_CHANGED else steps
