"""What can go wrong, and where: every point at which the service touches the world, and the faults that fit there.

kill before, kill after   the process dies; whoever starts next knows nothing
fail, denied, contended   the call is not done: out of reach, not allowed, another transaction was at the table
lost                      done, and the answer never comes
late                      the caller is told of a failure, and it is done some time after
slow                      done after a delay, or not at all when the caller's time limit is shorter
lingers                   the connection is lost, and the server keeps the transaction and its locks for a while
cancel before, after      the process is told to stop at once, by a second signal, while it waits there
pause                     the whole process stands still (a stopped container), and goes on as if nothing had been
some fail, some refused   a batch call of which only a part was done; refused for good, or only this time
cut before, cut after     a batch call, not done or done, of whose answer (a 200) the SDK could read nothing
hang                      no answer until the caller's own time limit, or its end; meanwhile it is asked to drain
conflict                  compare-and-set: somebody else was faster
short                     COPY leaves out a row, and says nothing
expired                   visibility has ended and somebody else may have the message; the answer is OK all the same
nothing, again, undeleted a poll brings nothing, something that somebody holds, something that was deleted
"""

from dataclasses import dataclass
from typing import Final

from tests.simulation.people_faults import BY_HAND

ANYWHERE: Final = ("kill before", "fail", "denied", "slow", "pause", "cancel before")
DURABLE: Final = (*ANYWHERE, "kill after", "cancel after", "lost", "late")
BATCH: Final = (*DURABLE, "some fail", "cut before", "cut after", "hang")
STATEMENT: Final = ("kill before", "fail", "contended", "slow", "lingers", "pause", "cancel before")
COMMIT: Final = ("kill before", "kill after", "fail", "contended", "lost", "late", "slow", "cancel before", "pause")
RECEIVE: Final = (*ANYWHERE, "kill after", "cancel after", "lost", "nothing", "again", "undeleted")

QUEUES: Final = ("records", "refine", "load")
STATEMENTS: Final = (
    "columns",
    "ledger_lock",
    "ledger_known",
    "stage_create",
    "copy",
    "copy_count",
    "stage_span",
    "fresh_create",
    "fresh_counts",
    "replayed_delete",
    "older_delete",
    "fresh_insert",
    "stage_drop",
    "fresh_drop",
    "ledger_remove",
    "ledger_add",
    "lock_holder",
    "load_errors",
)
OUTAGES: Final = ("sqs", "s3", "put", "warehouse", "sns")
DEAD: Final = ("dlq receive", "dlq delete", "dlq hide")
"""Of the three dead-letter queues together, which are read by one code."""
DEEDS: Final = (
    "redrive records-dlq",
    "redrive refine-dlq",
    "redrive load-dlq",
    "lose raw",
    "lose refined",
    "replay",
    "unfit table",
    "drain",
    "stop at once",
    "kill",
)
"""What operators and circumstances do at some moment, whatever the service is at."""

QUARANTINE: Final[dict[str, tuple[str, ...]]] = {
    "dlq receive": RECEIVE,
    "dlq delete": BATCH,
    "dlq hide": (*BATCH, "expired"),
    "reprocess send": (*BATCH, "some refused"),
    "put originals": DURABLE,
    "put errors": DURABLE,
    "read fingerprints": ANYWHERE,
    "replace fingerprints": (*DURABLE, "conflict"),
    "list fingerprints": ANYWHERE,
    "read mailbox": ANYWHERE,
    "replace mailbox": (*DURABLE, "conflict"),
    "sns publish": DURABLE,
    "sns away": ("outage",),
    "list rounds": ANYWHERE,
}
"""Where only the quarantine layer, the mailer and the resolver come by."""

FAULTS: Final[dict[str, tuple[str, ...]]] = {
    **{f"{name} receive": RECEIVE for name in QUEUES},
    **{f"{name} delete": BATCH for name in QUEUES},
    **{f"{name} hide": (*BATCH, "expired") for name in QUEUES},
    **{f"{name} send": (*BATCH, "some refused") for name in ("refine", "load")},
    **{f"{name}-dlq send": (*BATCH, "some refused") for name in QUEUES},
    **{f"put {what}": DURABLE for what in ("raw", "refined", "manifest", "original", "marks")},
    "remove refined": DURABLE,
    "get raw": ANYWHERE,
    "get refined": ANYWHERE,
    "describe refined": ANYWHERE,
    "depth": ANYWHERE,
    "thread": ("kill before", "slow", "pause", "cancel before"),
    "warehouse begin": ANYWHERE,
    **{f"warehouse {name}": STATEMENT for name in STATEMENTS},
    "warehouse copy": (*STATEMENT, "short"),
    "warehouse commit": COMMIT,
    **{f"{name} away": ("outage",) for name in OUTAGES if name != "sns"},
    "world": DEEDS,
    **QUARANTINE,
    **BY_HAND,
}
"""By point. A pair that is not here cannot happen, for these reasons:

- a statement inside the transaction is no effect until COMMIT: done and lost is the same as not done, and whatever
  ends the transaction after it is what ends it before the next one;
- reads (`get`, `describe`, `depth`) have no effect whose answer could be lost, and threads reach nothing;
- COMMIT is never denied, and a poll has no parts of which some could fail.
"""
PAIRS: Final = [(point, kind) for point, kinds in FAULTS.items() for kind in kinds]


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One thing that goes wrong, once: at the how manieth call of a point, or (outages, deeds) `at` which second."""

    point: str
    kind: str
    nth: int
    at: float = 0.0
    seconds: float = 0.0

    def __str__(self) -> str:
        return f"{self.point}/{self.kind}/{self.nth}/{self.at:g}/{self.seconds:g}"

    @classmethod
    def parse(cls, text: str) -> "Fault":
        """The reverse of `str`."""
        point, kind, nth, at, seconds = text.split("/")
        return cls(point, kind, int(nth), float(at), float(seconds))
