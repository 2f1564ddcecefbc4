"""Failures that the quarantine layer has stored, and the commands' tools on fakes."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pyarrow.parquet as pq

from service.core.dead_letter import DeadLetter, Place
from service.core.errors import RejectedError
from service.core.marks import Mark
from service.core.model import Attribute, Message, Outgoing
from service.core.notice import File, FileNotice
from service.quarantine.reprocess.plan import Plan, plan
from service.quarantine.reprocess.rehearse import Fault, Inside, Rehearsed, Specimen
from service.quarantine.reprocess.rounds import Portion, Round, Rounds
from service.quarantine.reprocess.run import Done, Run
from service.quarantine.reprocess.table import Choice, ErrorTable, read_table
from service.quarantine.reprocess.tools import Tools
from tests.fakes.journal import Crash
from tests.fakes.queue import EPOCH, FakeQueue
from tests.unit.quarantine.bench import ERRORS_ZONE, RAW_FILE, Bench, Row, raw_file

RATE = 1_000.0
FAILED = EPOCH - timedelta(hours=2)
SENTENCE = "column amount: no integer"


@dataclass
class Bed(Bench):
    """A bench whose failures can be sent back. `bad` are texts that would fail again, of those in `doubts` nobody can
    tell, `insides` are what whole files hold, `there` is loaded already.
    """

    bad: dict[str, Fault] = field(default_factory=dict)
    doubts: dict[str, str] = field(default_factory=dict)
    insides: dict[str, Inside] = field(default_factory=dict)
    there: set[str] = field(default_factory=set)
    rehearsed: list[tuple[str, str, list[Specimen]]] = field(default_factory=list)
    rounds_begun: int = 0
    stopped: Callable[[], bool] = lambda: False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.queues = {"land": FakeQueue("records", self.journal), "refine": FakeQueue("refine", self.journal)}
        self.queues["load"] = self.load_queue

    def tools(self, *, attempts_max: int = 3) -> Tools:
        """What the commands would open."""
        return Tools(
            errors=ERRORS_ZONE,
            means=self.means,
            queues=self.queues,
            reprocess_queue=self.reprocess_queue,
            rehearse=self._rehearse,
            loaded=self._loaded,
            notice_of=self._notice_of,
            attempts_max=attempts_max,
            token=self._token,
        )

    async def planned(self, **wanted: Any) -> Plan:
        """What a run of this choice would do."""
        return await plan(choice(**wanted), self.tools(), lambda _: lambda _: None)

    async def run(self, *, rate: float = RATE, **wanted: Any) -> Done:
        """Plan, and send."""
        planned = await self.planned(**wanted)
        return await Run(self.tools(), rate=rate, stop=self.stopped, told=lambda _: None).run(planned)

    async def fail(self, *letters: DeadLetter, pointer: str | None = None) -> None:
        """The quarantine layer takes these, in one batch; where a pointer is told, the originals lie there."""
        sent = [letter.outgoing(pointer) for letter in letters]
        now = self.means.clock.now()
        messages = [
            Message(f"dlq-{number}-{now}", one.body, one.attributes, now, now, 1, f"receipt {number}")
            for number, one in enumerate(sent)
        ]
        await self.take(*messages, sealed_at=now + timedelta(milliseconds=len(self.store.objects)))

    async def error_table(self) -> ErrorTable:
        """What lies in the errors zone."""
        return await read_table(ERRORS_ZONE, self.means, (EPOCH - timedelta(days=14)).date())

    async def now(self) -> dict[str, Row]:
        """The latest version of every row in the errors zone, announced or not."""
        table = await self.error_table()
        names = ("error_id", "state", "round_id", "attempts", "_raw_file", "code")
        return {
            row[0]: dict(zip(names, row, strict=True)) for row in table.ask(f"SELECT {', '.join(names)} FROM latest")
        }

    async def states_of(self) -> list[str]:
        """Where the error rows stand, sorted."""
        return sorted(row["state"] for row in (await self.now()).values())

    def notices(self) -> list[FileNotice]:
        """What was sent to the refine queue."""
        return [FileNotice.from_json(one.body) for one in self.queues["refine"].sent.values()]

    async def round(self, round_id: str) -> tuple[Round, list[Portion]]:
        """As it stands in the errors zone."""
        rounds = Rounds(ERRORS_ZONE, self.means)
        found = await rounds.read(round_id)
        assert found is not None
        return found, await rounds.portions(round_id)

    async def _rehearse(self, layer: str, dataset: str, specimens: Sequence[Specimen]) -> Rehearsed:
        self.rehearsed.append((layer, dataset, [*specimens]))
        faults = [self.bad.get(one.original.body) for one in specimens]
        passing = [one.original.body for one, fault in zip(specimens, faults, strict=True) if fault is None]
        bodies = [one.original.body for one in specimens]
        doubts = {number: self.doubts[body] for number, body in enumerate(bodies) if body in self.doubts}
        inside = Inside()
        for body in bodies:
            inside.add(self.insides.get(body, Inside()))
        return Rehearsed(faults, passing, doubts, inside)

    async def _loaded(self, dataset: str, record_ids: Sequence[str]) -> int:
        self.journal.before("warehouse loaded")
        return len(self.there & set(record_ids))

    async def _notice_of(self, dataset: str, uri: str) -> FileNotice:
        read = await self.store.read(uri)
        if read is None:
            raise RejectedError("missing_object", "the raw file is gone")
        body, etag = read
        rows = pq.read_metadata(io.BytesIO(body)).num_rows
        batch_id = uri.rpartition("/")[2].partition(".")[0]
        now = self.means.clock.now()
        return FileNotice(dataset, "raw", [File(uri, etag, len(body), rows)], [("body", "string")], batch_id, "", now)

    def _token(self) -> str:
        self.rounds_begun += 1
        return f"{self.rounds_begun:016x}"


def choice(**wanted: Any) -> Choice:
    """Everything of the last fourteen days."""
    return Choice(**{"since": EPOCH - timedelta(days=13), "until": EPOCH + timedelta(days=13), **wanted})


def records(*places: Place, uri: str = RAW_FILE, after: float = 0, **changed: Any) -> DeadLetter:
    """Refine's letter about records, so many seconds later."""
    told: dict[str, Any] = {"code": "bad_type", "sentence": SENTENCE, "column": "amount", "definition": "0a", **changed}
    moment = FAILED + timedelta(seconds=after)
    return DeadLetter("refine", "loans", failed_at=moment, raw_file=uri, places=places, **told)


def message(body: str, message_id: str, *, layer: str = "land", after: float = 0, **changed: Any) -> DeadLetter:
    """A letter about a message that failed whole."""
    attributes = changed.pop("attributes", {"kind": Attribute("String", "x"), "raw": Attribute("Binary", b"\0\xff")})
    original = Message(message_id, body, attributes, FAILED, FAILED, 1, "gone")
    told: dict[str, Any] = {
        "code": "unknown_dataset",
        "sentence": "no dataset",
        "column": None,
        "dataset": "",
        **changed,
    }
    return DeadLetter(layer, failed_at=FAILED + timedelta(seconds=after), original=original, **told)


def error_batch(number: int) -> str:
    return f"20251231T220000000Z-{number:016x}"


def error_file(number: int) -> str:
    """The address of a file of error rows."""
    return f"s3://errors/errors/dt=2025-12-31/{error_batch(number)}.{'0a' * 6}.parquet"


def notice(number: int) -> str:
    """What tells load of it."""
    files = [File(error_file(number), "e", 1, 1)]
    return FileNotice("errors", "errors", files, [], error_batch(number), "0a" * 6, EPOCH).to_json()


def about(number: int, **changed: Any) -> DeadLetter:
    """Load's letter about that notice."""
    told = {"layer": "load", "dataset": "errors", "code": "load_refused", "sentence": "refused", **changed}
    return message(notice(number), f"m{number}", attributes={}, **told)


def failed_again(sent: Outgoing, message_id: str, after: float, **changed: Any) -> DeadLetter:
    """The letter of a layer on which a message that was sent back failed once more."""
    mark = Mark.of(Message(message_id, sent.body, sent.attributes, FAILED, FAILED, 1, "r"))
    assert mark is not None
    letter = message(sent.body, message_id, after=after, attributes=sent.attributes, **changed)
    return replace(letter, attempts=mark.attempt + 1, round_id=mark.round_id)


def lay_raw(bed: Bench, *bodies: str, uri: str = RAW_FILE) -> None:
    """A raw file."""
    bed.store.objects[uri] = raw_file(*bodies)


class CrashAt:
    """Dies at the n-th effect, and stays dead."""

    def __init__(self, number: int) -> None:
        self._left = number
        self.dead = False

    def __call__(self, effect: str) -> None:
        if self.dead:
            raise Crash(effect)
        if effect.split()[1] == "receive" or effect.startswith(("list", "read", "get")):
            return
        self._left -= 1
        if self._left < 0:
            self.dead = True
            raise Crash(effect)
