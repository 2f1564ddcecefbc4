"""A seed → everything that is not the service's own: how it is set up, how many processes, and what goes wrong."""

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import starmap

from tests.simulation import people_faults
from tests.simulation.faults import DEEDS, OUTAGES, PAIRS, QUARANTINE, QUEUES, Fault
from tests.simulation.people_faults import BY_HAND, PEOPLED_EVERY

FAULTS_A_SEED = 15
"""It has no factor in common with the number of turns, or some would come up seldom."""
QUARANTINE_FAULTS_A_SEED, QUARANTINE_FAULTS_WITH_PEOPLE, OTHER_FAULTS_A_SEED = 16, 3, 1
PEOPLED = 13
DEED_SHARE = 0.5
TURBULENT_SECONDS = 330.0
"""How long faults may happen; then they stop."""
DELAYS = (0.5, 3.0, 20.0, 45.0, 70.0, 130.0)
"""Up to beyond every call's time limit and beyond visibility."""
LATE_SECONDS = 58.0
"""A little more than claims have left when they are extended, a little less than a call may take."""
HOLDS_SECONDS = 110.0
"""So slow, but not too slow for its caller, that visibility must be extended meanwhile."""
CALM_EVERY, CROWDED, POISONED, SLOW = 10, 10, 5, 15
"""Of ten seeds one has no faults; every other of these is crowded. Of twenty one is poisoned, and one only slow;
every other of those is late."""
QUARANTINED = tuple(n for n in range(PEOPLED_EVERY) if n % 4 == 1 and n % 20 != POISONED and n != PEOPLED)
"""Of forty seeds: those whose faults are of the quarantine layer alone."""
POISONED_OUTAGE = Fault("put away", "outage", 0, 5.5, 200.0)
"""Refine has the message by then, and nowhere to store what it makes of it."""
SLOW_DAY = (
    Fault("put raw", "slow", 0, 0.0, HOLDS_SECONDS),
    Fault("get raw", "slow", 0, 0.0, HOLDS_SECONDS),
    Fault("describe refined", "slow", 0, 0.0, HOLDS_SECONDS),
    Fault("warehouse away", "outage", 0, 60.0, 150.0),
)
"""Everything takes longer than visibility lasts, and nothing is lost: no message may come twice."""
LATE_DAY = (*SLOW_DAY, *(Fault(f"{name} hide", "slow", 0, 0.0, LATE_SECONDS) for name in QUEUES))
"""The same, and each queue says once that it has extended what it gave away a moment before."""
REPLAYS = (Fault("world", "replay", 0, 70.0), Fault("world", "replay", 1, 110.0))
COMPANIONS: dict[str, tuple[Fault, ...]] = {
    "records hide": (Fault("put raw", "slow", 0, 0.0, HOLDS_SECONDS),),
    "refine hide": (Fault("get raw", "slow", 0, 0.0, HOLDS_SECONDS),),
    "load hide": (Fault("describe refined", "slow", 0, 0.0, HOLDS_SECONDS),),
    "get refined": (Fault("put refined", "lost", 0),),
    "dlq hide": (Fault("put errors", "slow", 0, 0.0, HOLDS_SECONDS),),
    "warehouse lock_holder": (Fault("warehouse ledger_lock", "slow", 0, 0.0, 300.0),),
    "warehouse replayed_delete": REPLAYS,
    "warehouse ledger_remove": REPLAYS,
    "remove refined": REPLAYS,
}
"""What brings the service to places where it seldom is."""
SELDOM = {
    *COMPANIONS,
    "load delete",
    "sns publish",
    "load-dlq send",
    "records-dlq send",
    "put original",
    "put marks",
    "refine-dlq send",
    "warehouse load_errors",
    "warehouse older_delete",
    "warehouse stage_span",
}
"""Where it comes by once or twice."""


def _turns() -> list[tuple[str, str]]:
    turns = [pair for pair in PAIRS if pair[0] not in QUARANTINE and pair[0] not in BY_HAND]
    random.Random("turns").shuffle(turns)
    return turns


TURNS = _turns()
"""All pairs of land, refine and load, so that one seed's are of many points."""


def _quarantine_turns() -> list[tuple[str, str]]:
    turns = [pair for pair in PAIRS if pair[0] in QUARANTINE]
    random.Random("turns").shuffle(turns)
    return turns


QUARANTINE_TURNS = _quarantine_turns()
QUARANTINE_THIN = [pair for pair in QUARANTINE_TURNS if pair[0].startswith("sns")]
QUARANTINE_THIN += [pair for pair in QUARANTINE_TURNS if pair[0].startswith(("sns", "replace mailbox"))]
QUARANTINE_THIN += [("replace fingerprints", "slow")] * 8 + [("sns publish", "slow")] * 2
"""Tried once more a seed. Who writes slowly is overtaken by others."""
THIN = [
    (point, kind)
    for point, kind in TURNS
    if point.endswith(" hide")
    or point in ("load-dlq send", "remove refined", "warehouse fresh_create")
    or point
    in ("warehouse ledger_remove", "warehouse replayed_delete", "warehouse lock_holder", "warehouse load_errors")
]
THIN += [pair for pair in THIN if pair[0] == "remove refined"]
"""Those that come about least often even so: they are tried more, the last ones twice as often."""


THINNEST = [
    (point, kind)
    for point, kind in TURNS
    if point in ("remove refined", "warehouse ledger_remove", "warehouse replayed_delete", "warehouse lock_holder")
    or (point.endswith(" hide") and kind in ("fail", "late", "kill after"))
    or (point.endswith("-dlq send") and kind in ("late", "fail", "slow"))
]
"""Even that does not suffice for these: later seeds try one more."""
THINNEST_FROM = 600


@dataclass(frozen=True, slots=True)
class Plan:
    """A seed and its faults. `drawn` stays what it was when the faults become fewer: the producers look at it."""

    seed: int
    faults: tuple[Fault, ...]
    drawn: tuple[Fault, ...]

    @classmethod
    def of(cls, seed: int) -> "Plan":
        """What that seed means."""
        taken: dict[tuple[str, int], Fault] = {}
        others: list[Fault] = []
        for fault in _drawn(seed):
            if fault.kind in (*DEEDS, "outage"):
                others.append(fault)
            else:
                nth = next(n for n in itertools.count(fault.nth) if (fault.point, n) not in taken)
                taken[fault.point, nth] = replace(fault, nth=nth)
        faults = (*taken.values(), *dict.fromkeys(others))
        return cls(seed, faults, faults)

    def but(self, faults: Sequence[Fault]) -> "Plan":
        """The same with other faults."""
        return Plan(self.seed, tuple(faults), self.drawn)

    def random(self, purpose: str) -> random.Random:
        """A source of its own for each purpose, so that fewer faults leave all else as it was."""
        return random.Random(f"{self.seed} {purpose}")

    @property
    def crowded(self) -> bool:
        """Whether very many messages come; nothing else goes wrong then."""
        return self.seed % 20 == CROWDED

    @property
    def narrow(self) -> bool:
        """Whether so many messages meet SQS's ceiling of messages in flight; otherwise memory is short for them."""
        return self.crowded and self.seed % 40 != CROWDED

    @property
    def poisoned(self) -> bool:
        """Whether a message comes of which nearly all is bad, just before objects cannot be stored. No other faults."""
        return self.seed % 20 == POISONED

    @property
    def quarantined(self) -> bool:
        """Whether the quarantine layer runs too."""
        return (self.seed % 4 == 1 and not self.poisoned) or self.seed % 40 == 0

    @property
    def peopled(self) -> bool:
        """Whether people run commands."""
        return self.seed % PEOPLED_EVERY == PEOPLED

    def wants(self, point: str) -> bool:
        """Whether some fault needs the service to come by there."""
        return any(fault.point == point for fault in self.drawn)


def _drawn(seed: int) -> Iterator[Fault]:
    """Neighbouring seeds go through all pairs in turn, so that none is left out; where and when is drawn."""
    source = random.Random(f"{seed} faults")
    if seed % CALM_EVERY == 0:
        return  # nothing goes wrong: what is said about calm days is tried too
    if seed % 20 == POISONED:
        yield POISONED_OUTAGE
        return
    if seed % 20 == SLOW:
        yield from SLOW_DAY if seed % 40 == SLOW else LATE_DAY
        return
    if seed % 4 == 1:
        yield from _quarantine(source, seed)
        return
    turns = [TURNS[(seed * FAULTS_A_SEED + number) % len(TURNS)] for number in range(FAULTS_A_SEED)]
    thin = [THIN[number % len(THIN)] for number in (seed, 31 * seed + seed // len(THIN))]
    if seed > THINNEST_FROM:
        thin.append(THINNEST[seed % len(THINNEST)])
    for point, kind in [*turns, *thin]:
        yield _fault(source, point, kind)
        yield from COMPANIONS.get(point, ())
    for _ in range(source.choice((0, 0, 1))):
        yield _fault(source, f"{source.choice(OUTAGES)} away", "outage")
    for _ in range(source.choice((0, 0, 1, 2))):
        yield _fault(source, "world", source.choice(DEEDS))


def _quarantine(source: random.Random, seed: int) -> Iterator[Fault]:
    """What befalls the quarantine layer, and a little of what befalls the others."""
    if seed % PEOPLED_EVERY == PEOPLED:
        yield from starmap(Fault, people_faults.drawn(seed))
        turns = source.sample(QUARANTINE_TURNS, k=QUARANTINE_FAULTS_WITH_PEOPLE)
    else:
        number = seed // PEOPLED_EVERY * len(QUARANTINED) + QUARANTINED.index(seed % PEOPLED_EVERY)
        first = number * QUARANTINE_FAULTS_A_SEED
        turns = [QUARANTINE_TURNS[(first + n) % len(QUARANTINE_TURNS)] for n in range(QUARANTINE_FAULTS_A_SEED)]
        turns += source.sample(QUARANTINE_THIN, k=2)
    for point, kind in source.sample(turns, k=len(turns)):
        yield _fault(source, point, kind)
        yield from COMPANIONS.get(point, ())
    for _ in range(OTHER_FAULTS_A_SEED):
        yield _fault(source, *source.choice(TURNS))
    if source.random() < DEED_SHARE:
        yield _fault(source, "world", source.choice(DEEDS))


def _fault(source: random.Random, point: str, kind: str) -> Fault:
    match point.partition(" ")[2] or point:
        case "away" if point == "sns away":
            return Fault(point, kind, 0, round(source.uniform(20, 60), 1), source.choice((60.0, 150.0, 250.0)))
        case "away":
            return Fault(point, kind, 0, round(source.uniform(0, 60), 1), source.choice((10.0, 60.0, 150.0)))
        case "world":
            late = kind in ("redrive records-dlq", "redrive refine-dlq", "redrive load-dlq", "lose refined", "replay")
            return Fault(point, kind, 0, round(source.uniform(30, 120) if late else source.uniform(0, 40), 1))
        case "receive":
            nth = source.choice((3, 6, 9, 14) if kind in ("again", "undeleted") else (0, 1, 2, 4, 8))
        case "fingerprints" if point.startswith("replace"):
            nth = source.choice((0, 1, 2, 3, 4))
        case _ if point in SELDOM:
            nth = 0
        case _:
            nth = source.choice((0, 0, 0, 0, 1, 2))
    return Fault(point, kind, nth, 0.0, source.choice(DELAYS))
