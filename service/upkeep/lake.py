"""What lies in the lake of a dataset, by day of arrival: a refined file tells its raw batch in its name."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from service.core.errors import RejectedError
from service.core.ports import Listed, ObjectStore
from service.core.zones import Place, Zone, raw_place, refined_place
from service.upkeep.days import Days


@dataclass(frozen=True, slots=True)
class RawFile:
    """A landed batch."""

    uri: str
    batch_id: str
    content_length_bytes: int
    stored_at: datetime


@dataclass(frozen=True, slots=True)
class Made:
    """A refined file; `definition` is the hash in its name."""

    uri: str
    batch_id: str
    content_length_bytes: int
    stored_at: datetime

    @property
    def definition(self) -> str:
        """Under which definition it was written, as a hash; a replay's covers its moment too."""
        return definition_in(self.uri)


ByBatch = Mapping[str, Sequence[Made]]
"""Refined files by the landed batch that they stem from."""


@dataclass(frozen=True, slots=True)
class Lake:
    """The zones, and the store that they lie in. Objects that are none of ours are passed over."""

    store: ObjectStore
    raw: Zone
    refined: Zone
    errors: Zone

    def raw_prefix(self, dataset: str, day: date | None = None) -> str:
        """What the addresses of a dataset's raw files begin with: all of them, or those that arrived on a day."""
        return self.raw.uri(f"{dataset}/" if day is None else f"{dataset}/dt={day}/")

    async def raw_files(self, dataset: str, day: date) -> list[RawFile]:
        """What arrived on that day, in the order of arrival."""
        found = []
        async for listed in self._listed(self.raw_prefix(dataset, day)):
            place = _read(raw_place, self.raw, listed.uri)
            if place is not None:
                found.append(RawFile(listed.uri, place.batch_id, listed.content_length_bytes, listed.stored_at))
        return sorted(found, key=lambda file: file.batch_id)

    async def has_raw(self, dataset: str) -> bool:
        """Whether anything of the dataset ever arrived that still lies there."""
        async for _ in self._listed(self.raw_prefix(dataset)):
            return True
        return False

    async def refined_files(self, dataset: str, days: Days) -> ByBatch:
        """What was ever made of the batches that arrived on these days.

        One pass over the dataset's partitions, because a batch's files stand wherever its events happened. Only files
        of these days are kept: some 600 bytes each.
        """
        found: dict[str, list[Made]] = {}
        async for listed in self._listed(self.refined.uri(f"{dataset}/")):
            place = _read(refined_place, self.refined, listed.uri)
            if place is not None and days.hold(place.batch_id):
                made = Made(listed.uri, place.batch_id, listed.content_length_bytes, listed.stored_at)
                found.setdefault(place.batch_id, []).append(made)
        return found

    async def error_files(self, dataset: str, first: date) -> AsyncIterator[str]:
        """The files of the errors dataset that hold failures of that day and later, in order."""
        async for listed in self._listed(self.errors.uri(f"{dataset}/")):
            place = _read(refined_place, self.errors, listed.uri)
            if place is not None and place.partition[3:13] >= f"{first}":
                yield listed.uri

    async def _listed(self, prefix: str) -> AsyncIterator[Listed]:
        async for page in self.store.pages(prefix):
            for listed in page:
                yield listed


def definition_in(uri: str) -> str:
    """The hash in a refined file's name."""
    return uri.rpartition("/")[2].split(".")[1]


def _read(reader: Callable[[Zone, str], Place], zone: Zone, uri: str) -> Place | None:
    try:
        return reader(zone, uri)
    except RejectedError:
        return None
