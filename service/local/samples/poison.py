"""The ways in which a record can be bad, each with the code that a correct pipeline rejects it with.

A date or time that does not exist, lacks its zone or lies outside the dataset's limits is `bad_time`; any other value
that cannot be what its column declares is `bad_type`.
"""

from collections.abc import Callable, Mapping
from typing import Any

from service.local.samples.events import written

Event = dict[str, Any]
Spoil = Callable[[Event], str]

_NESTING = 2_000
"""Twice as deep as a SUPER value can be."""


def _cut_short(event: Event) -> str:
    text = written(event)
    return text[: len(text) * 2 // 3]


def _an_error_page(event: Event) -> str:
    return f"<html><body>502 Bad Gateway: {event['event_id']}</body></html>"


def _not_a_number(event: Event) -> str:
    return written(event)[:-1] + ', "latency_seconds": NaN}'


def _nested_deeply(event: Event) -> str:
    return written(event)[:-1] + ', "debug": ' + "[" * _NESTING + "]" * _NESTING + "}"


def _without(field: str) -> Spoil:
    return lambda event: written({name: value for name, value in event.items() if name != field})


def _with(**fields: object) -> Spoil:
    return lambda event: written({**event, **fields})


def _without_zone(event: Event) -> str:
    # The first 19 characters of an ISO 8601 moment are its date and its time to the second.
    return written({**event, "occurred_at": event["occurred_at"][:19]})


_SPOILS: Mapping[str, tuple[Spoil, ...]] = {
    "bad_json": (_cut_short, _an_error_page, _not_a_number),
    "too_deep": (_nested_deeply,),
    "missing_required": (_without("event_id"), _without("occurred_at"), _with(step=None), _with(applicant={})),
    "bad_type": (
        _with(session_number="unknown"),
        _with(session_number=12.5),
        _with(session_number=True),
        _with(session_number=2**63),
        _with(country={"code": "NL"}),
        _with(document={"kind": "passport", "pages": 70_000}),
        _with(contract={"number": "C1", "credit_limit": "1500.005"}),
    ),
    # The second one has few enough characters; its bytes are too many.
    "too_long": (_with(channel="a kiosk in a shopping centre"), _with(address={"city": "東" * 40})),
    "bad_time": (
        _with(document={"kind": "passport", "expires_on": "2031-02-30"}),
        _with(occurred_at="2024-13-45T25:61:00+01:00"),
        _without_zone,
        _with(occurred_at="1970-01-01T00:00:00+00:00"),
        _with(occurred_at="2093-06-01T12:00:00.000+02:00"),
    ),
}

POISONS: tuple[tuple[str, Spoil], ...] = tuple((code, spoil) for code, spoils in _SPOILS.items() for spoil in spoils)
"""Every kind of poison: its rejection code, and what makes a good event into a bad record's text."""
