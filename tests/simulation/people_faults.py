"""What may go wrong while people run commands: a point of a command is the service's own, done by hand.

Points are joined where one piece of code does the same to all of them: three queues to send to, letters that are
deleted or given back, whatever is only read. Kinds that end alike for a command (denied is like fail) stand once.
"""

import random
from collections.abc import Iterator
from typing import Final

DURABLE: Final = ("kill before", "kill after", "cancel before", "fail", "lost", "late")

BY_HAND: Final[dict[str, tuple[str, ...]]] = {
    "send by hand": (*DURABLE, "cancel after", "some fail", "cut after"),
    "claim by hand": ("kill after", "cancel after", "fail", "lost", "again"),
    "settle by hand": (*DURABLE, "some fail", "expired"),
    "put rounds by hand": DURABLE,
    "put errors by hand": DURABLE,
    "replace by hand": (*DURABLE, "conflict"),
    "ask by hand": ("kill before", "fail", "slow", "cancel before"),
}
"""By point, which faults fit there."""

FAULTS_A_SEED = 46
"""Of people: a command that was ended is begun again, so each of them may meet several."""
PEOPLED_EVERY = 40
"""Such a seed costs as much as ten others: they are few, and much goes wrong in each."""
DELAYS = (0.5, 3.0, 20.0, 100.0)
OFTEN: Final[dict[str, tuple[int, ...]]] = {
    "ask by hand": (0, 3, 10, 20, 35, 50, 70, 100),
    "send by hand": (0, 0, 1, 2, 3, 5),
    "settle by hand": (0, 0, 1, 2, 3),
    "claim by hand": (0, 1, 2, 4),
}
"""Where a command comes by so often that its first call says little: which one is meant."""


THIN: Final = ("settle by hand", "put errors by hand")
"""Where commands come by too seldom for each turn to come about."""


def _turns() -> list[tuple[str, str]]:
    turns = [(point, kind) for point, kinds in BY_HAND.items() for kind in kinds]
    turns += [turn for turn in turns if turn[0] in THIN]
    turns += [turn for turn in turns[:45] if turn[0] == THIN[0]]
    random.Random("people's turns").shuffle(turns)
    return turns


TURNS: Final = _turns()


def drawn(seed: int) -> Iterator[tuple[str, str, int, float, float]]:
    """What goes wrong in that seed's commands: point, kind, nth, at, seconds. Neighbours go through all in turn."""
    source = random.Random(f"{seed} people's faults")
    first = seed // PEOPLED_EVERY * FAULTS_A_SEED
    for number in range(first, first + FAULTS_A_SEED):
        point, kind = TURNS[number % len(TURNS)]
        yield point, kind, source.choice(OFTEN.get(point, (0, 0, 0, 1, 2))), 0.0, source.choice(DELAYS)


def by_hand(point: str) -> str:
    """What a call of a command is counted as. The first word of a thing that can be away stays what it is."""
    verb, _, what = point.partition(" ")
    match verb, what:
        case ("put", _):
            return f"{point} by hand"
        case ("replace", _):
            return "replace by hand"
        case (_, "send"):
            return "send by hand"
        case ("reprocess", "receive"):
            return "claim by hand"
        case ("reprocess", "delete" | "hide"):
            return "settle by hand"
    return "ask by hand"
