"""The same failure in several letters of one batch: its first moment is the earliest that any of them tells."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from service.core.dead_letter import Place
from service.quarantine.arrivals import Failure


def with_earliest(failures: Iterable[Failure]) -> list[Failure]:
    """The failures, each as its first moment; in the order given where several are the same failure.

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
    moments = {failure.first_failed_at for failure in same}
    if len(moments) == 1:
        return same
    if same[0].raw_file is None:
        return [replace(failure, first_failed_at=min(moments)) for failure in same]
    return _by_place(same)


def _by_place(same: Sequence[Failure]) -> Iterator[Failure]:
    first: dict[Place, datetime] = {}
    for failure in same:
        for place in failure.places:
            first[place] = min(first.get(place, failure.first_failed_at), failure.first_failed_at)
    for failure in same:
        by_moment: dict[datetime, list[Place]] = {}
        for place in failure.places:
            by_moment.setdefault(first[place], []).append(place)
        for moment, places in by_moment.items():
            yield replace(failure, first_failed_at=moment, places=places)
