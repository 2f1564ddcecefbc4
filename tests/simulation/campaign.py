"""Many seeds in several processes, and the table of what befell the service."""

import gc
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from textwrap import wrap
from typing import get_args

import pyarrow as pa

from service.core.events import Event
from tests.simulation.database import one_database
from tests.simulation.faults import FAULTS, PAIRS
from tests.simulation.trial import Tally, tried

SEEDS_A_PIECE = 25
GARBAGE_AFTER = 100_000
"""Objects: a run leaves few circles behind, and looking for them takes time."""
FIRED_MIN = 20
THINNEST = 8
LINE = 120
"""Characters."""
GLUE = "~"
"""Between words that stay in one line."""
TOLD_ELSEWHERE = {"ServiceStopped", "ShieldFailed", "DatasetResumed"}
"""By the process around the layers, which is not simulated; datasets go on in `tests/flow/test_tolerance.py`."""


def campaign(seeds: Sequence[int], *, processes: int, tell: Callable[[Tally], None] = lambda _: None) -> Tally:
    """Try them all; tell of each piece when it is done."""
    pieces = [seeds[start : start + SEEDS_A_PIECE] for start in range(0, len(seeds), SEEDS_A_PIECE)]
    tally = Tally()
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        for piece in pool.map(_piece, pieces):
            tally.add(piece)
            tell(piece)
    return tally


def table(tally: Tally) -> str:
    """How often each pair of point and fault fired, and every failure."""
    points: Sequence[str] = sorted(FAULTS)
    lines = [
        f"{point:24} " + ", ".join(f"{kind} {tally.fired[point, kind]}" for kind in FAULTS[point]) for point in points
    ]
    lines.append("told: " + ", ".join(f"{name} {count}" for name, count in sorted(tally.told.items())))
    return "\n".join([*lines, _sums(tally), *tally.failures])


def summary(tally: Tally) -> str:
    """The same in a few lines: the sums, the thinnest pairs, and below each list of faults the points' counts in it."""
    thinnest = sorted(PAIRS, key=lambda pair: tally.fired[pair])[:THINNEST]
    thin = [f"{point} with {kind} {tally.fired[point, kind]}" for point, kind in thinnest]
    lines = [_sums(tally), "fewest:", *_wrapped(thin)]
    for kinds in dict.fromkeys(FAULTS.values()):
        lines.append(f"{', '.join(kinds)}:")
        counts = [
            f"{point} {' '.join(str(tally.fired[point, kind]) for kind in kinds)}"
            for point in FAULTS
            if FAULTS[point] == kinds
        ]
        lines += _wrapped(counts)
    return "\n".join(lines).replace(GLUE, " ")


def _wrapped(counts: Sequence[str]) -> list[str]:
    glued = "; ".join(one.replace(" ", GLUE) for one in counts)
    return wrap(glued, LINE, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)


def _sums(tally: Tally) -> str:
    fired = sum(tally.fired.values())
    return f"{tally.seeds} seeds, {fired} faults of {len(PAIRS)} kinds, {len(tally.failures)} failures"


def seldom(tally: Tally) -> list[str]:
    """The pairs that fired too seldom for anything to be said about them."""
    return [
        f"{point} with {kind}: {tally.fired[point, kind]}"
        for point, kind in PAIRS
        if tally.fired[point, kind] < FIRED_MIN
    ]


def untold(tally: Tally) -> list[str]:
    """What the service tells of in so few runs that nobody can say that it was tried."""
    kinds = {kind.__name__ for kind in get_args(Event)} - TOLD_ELSEWHERE
    return sorted(kind for kind in kinds if tally.told[kind] < FIRED_MIN)


def _piece(seeds: Sequence[int]) -> Tally:
    pa.set_cpu_count(1)
    gc.freeze()
    gc.set_threshold(GARBAGE_AFTER)
    with one_database():
        return tried(seeds)
