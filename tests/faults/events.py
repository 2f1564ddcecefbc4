"""The records that the scenarios send."""

import json
from collections.abc import Sequence

from service.local.samples.loans import loan_events

PATHS = {
    "step": ("step",),
    "transition": ("transition",),
    "user_id": ("user",),
    "application_id": ("application_id",),
    "offer_stage": ("offer", "stage"),
    "amount_requested": ("application", "amount_requested"),
}
"""Where columns of the loan events come from."""


def loans(count: int) -> list[str]:
    """So many loan events, always the same."""
    texts, _ = loan_events(applications=max(2, count // 15), events=count)
    return list(texts)


def spread(lines: Sequence[str], days: int) -> list[str]:
    """The same events, one a day over so many days, each with an id of its own."""
    events = [json.loads(lines[number % len(lines)]) for number in range(days)]
    for number, event in enumerate(events):
        year, rest = divmod(number, 336)
        month, day = divmod(rest, 28)
        event["timestamp"] = f"{2012 + year}-{month + 1:02d}-{day + 1:02d}T10:00:00.000+00:00"
        event["event_id"] = f"spread-{number}"
    return [json.dumps(event) for event in events]


def spoiled(lines: Sequence[str], column: str) -> list[str]:
    """The same events with ids of their own, and in this column what it cannot hold."""
    *before, last = PATHS[column]
    events = [json.loads(line) for line in lines]
    for event in events:
        event["event_id"] = f"{column}-{event['event_id']}"
        part = event
        for name in before:
            part = part.setdefault(name, {})
        part[last] = "x" * 70
    return [json.dumps(event) for event in events]


def within_days(lines: Sequence[str], days: int) -> list[str]:
    """The same events on so few days, so that many of them make few files."""
    events = [json.loads(line) for line in lines]
    for number, event in enumerate(events):
        event["timestamp"] = f"2012-01-{number % days + 1:02d}T10:00:00.000+00:00"
    return [json.dumps(event) for event in events]
