"""Sample onboarding records as a queue would bring them: mostly good, some late, some twice, some bad."""

import heapq
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from service.local.samples.events import Onboardings, written
from service.local.samples.poison import POISONS

SPAN_DAYS = 28
"""All good events happen within so many days after the start, however many there are."""

SAMPLE_RECORDS = 20_000
SAMPLE_SEED = 7

_DUPLICATES = 0.01
_POISON = 0.005
_LATE = 0.02
_LATE_SECONDS = (2 * 3600, 3 * 86_400)
_AGAIN_SECONDS = ((1, 60), (60, 20 * 3600))
"""Most repetitions come from a sender's retry at once, the others from a queue or a job that was run again."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One sent record, and what must become of it. `code` is the rejection code, only where `fate` is rejected."""

    text: str
    fate: Literal["loaded", "duplicate", "rejected"]
    code: str | None


def onboarding_samples(*, count: int, seed: int, start: datetime) -> Iterator[Sample]:
    """Exactly `count` records in the order of sending; the same arguments give the same bytes.

    `start` needs a zone. Event times lie in the `SPAN_DAYS` days after it, so a start that long ago keeps all of them
    out of the future; late records arrive hours to days after others of their time. A duplicate always comes
    after its first copy. Raises ValueError where `start` has no zone.
    """
    if start.tzinfo is None:
        raise ValueError("start needs a time zone, otherwise the samples would depend on the machine's")
    return _Sender(random.Random(seed)).records(count, start)


def sample_lines() -> Iterator[bytes]:
    """The sample that is sent where no file is given; its last event times are of now."""
    start = datetime.now(UTC) - timedelta(days=SPAN_DAYS)
    return (one.text.encode() for one in onboarding_samples(count=SAMPLE_RECORDS, seed=SAMPLE_SEED, start=start))


class _Sender:
    """Sends one record a tick. What is held is sent as soon as it is due, before anything new happens."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._onboardings = Onboardings(rng)
        self._held: list[tuple[datetime, int, Sample]] = []
        self._holds = 0
        self._spoiled = 0

    def records(self, count: int, start: datetime) -> Iterator[Sample]:
        for index in range(count):
            tick = (index + self._rng.random()) / count
            now = start + timedelta(days=SPAN_DAYS * tick)
            sample = self._due(now) or self._fresh(now)
            if sample.fate == "loaded" and self._rng.random() < _DUPLICATES:
                self._hold(_again(sample, self._rng), now, self._rng.choice(_AGAIN_SECONDS))
            yield sample

    def _due(self, now: datetime) -> Sample | None:
        return heapq.heappop(self._held)[2] if self._held and self._held[0][0] <= now else None

    def _fresh(self, now: datetime) -> Sample:
        chance = self._rng.random()
        if chance < _POISON:
            return self._spoil(now)
        sample = Sample(written(self._onboardings.event(now)), "loaded", None)
        if chance >= _POISON + _LATE:
            return sample
        self._hold(sample, now, _LATE_SECONDS)
        # This one will be sent later, so the tick is still free.
        return self._fresh(now)

    def _spoil(self, now: datetime) -> Sample:
        """Poison in turn, not by chance: every kind occurs as soon as there are enough records."""
        code, spoil = POISONS[self._spoiled % len(POISONS)]
        self._spoiled += 1
        return Sample(spoil(self._onboardings.event(now)), "rejected", code)

    def _hold(self, sample: Sample, now: datetime, seconds: tuple[int, int]) -> None:
        self._holds += 1
        due = now + timedelta(seconds=self._rng.uniform(*seconds))
        # The counter decides between equal moments, because samples have no order.
        heapq.heappush(self._held, (due, self._holds, sample))


def _again(sample: Sample, rng: random.Random) -> Sample:
    """The same event once more: byte for byte, or with what a retrying sender adds."""
    text = rng.choice((sample.text, sample.text[:-1] + ', "attempt": 2}'))
    return Sample(text, "duplicate", None)
