"""The same failure in several letters of one batch: its first moment is the earliest that any of them tells. A letter
of no round, as a replay brings, knows nothing of what was before: its tries are the most that any of them tells.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from service.core.dead_letter import Place
from service.quarantine.arrivals import Failure

_Past = tuple[datetime, int]
"""The first moment, and how many tries."""


def with_earliest(failures: Iterable[Failure]) -> list[Failure]:
    """The failures, each with its first moment and its tries; in the order given where several are the same.

    A letter about records of which another one tells otherwise becomes several. Work for a thread.
    """
    alike: dict[object, list[Failure]] = {}
    for failure in failures:
        alike.setdefault(_kind(failure), []).append(failure)
    return [one for same in alike.values() for one in _told(same)]


def _kind(failure: Failure) -> object:
    """What its error ids depend on, but for the places."""
    if failure.raw_file is None:
        return failure.error_id
    return failure.layer, failure.raw_file, failure.code, failure.field


def _told(same: Sequence[Failure]) -> Iterable[Failure]:
    past = _together(map(_past, same))
    if all(_past(failure) == past for failure in same):
        return same
    if same[0].raw_file is None:
        return [_with(past, failure) for failure in same]
    return _by_place(same)


def _by_place(same: Sequence[Failure]) -> Iterator[Failure]:
    pasts: dict[Place, _Past] = {}
    for failure in same:
        for place in failure.places:
            pasts[place] = _together([pasts.get(place, _past(failure)), _past(failure)])
    for failure in same:
        by_past: dict[_Past, list[Place]] = {}
        for place in failure.places:
            by_past.setdefault(pasts[place], []).append(place)
        for past, places in by_past.items():
            yield replace(_with(past, failure), places=places)


def _past(failure: Failure) -> _Past:
    return failure.first_failed_at, failure.attempts


def _together(pasts: Iterable[_Past]) -> _Past:
    moments, attempts = zip(*pasts, strict=True)
    return min(moments), max(attempts)


def _with(past: _Past, failure: Failure) -> Failure:
    first_failed_at, attempts = past
    told = failure.attempts if failure.round_id else attempts
    return replace(failure, first_failed_at=first_failed_at, attempts=told)
