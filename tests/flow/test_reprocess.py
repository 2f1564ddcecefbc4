"""All layers, and what failed is sent back: after the cause was mended it ends once in the warehouse, and is mailed."""

import itertools
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from service.core.definitions import load_datasets
from service.core.model import Outgoing
from service.core.ports import Means, Session, Statement
from service.core.zones import batch_of
from service.quarantine.reprocess.about_errors import ErrorsRun
from service.quarantine.reprocess.parcels import Parcel, Parcels
from service.quarantine.reprocess.plan import Plan, plan
from service.quarantine.reprocess.rehearse import OriginalsReader
from service.quarantine.reprocess.rounds import Rounds
from service.quarantine.reprocess.run import Done, Run, already_loaded
from service.quarantine.reprocess.table import Choice, ErrorTable, read_table
from service.quarantine.reprocess.tools import Tools
from service.quarantine.resolve import ROUND_AGE_MAX
from service.settings import LAYERS
from service.wiring.parts import Parts
from service.wiring.reprocess import QUESTIONS, reprocess_tools
from service.wiring.whole_files import ONLY_THE_WAREHOUSE, OTHER_COLUMNS
from tests.fakes.journal import Crash, Journal
from tests.fakes.queue import EPOCH
from tests.fakes.time import InlineFanOut, InlineThreads, LoopClock, run_virtual
from tests.fakes.warehouse import FakeWarehouse
from tests.fakes.world import DEFINITION, REPROCESS, World, event, live, settings

MENDED = DEFINITION.replace('name = "amount"', 'name = "amount"\npath = "euros"')
BY_MESSAGE = DEFINITION.replace('key = ["event_id"]', 'identity = "message"')
NUMBERS = itertools.count()


class AskedWarehouse(FakeWarehouse):
    """Answers what sending back asks, too, from what is committed."""

    @asynccontextmanager
    async def transaction(self, temporary: set[str] | None = None) -> AsyncIterator[Any]:
        async with super().transaction(temporary) as session:
            yield _Asked(self, session)

    def answer(self, statement: Statement) -> list[tuple[Any, ...]]:
        """What the statement means."""
        asked = set(statement.text.split("'")[1::2])
        if statement.name == "loaded":
            return [(len({row["_record_id"] for row in self.rows("events")} & asked),)]
        rows = self.ledger_rows("errors" if "load_ledger_errors" in statement.text else "events")
        entries = [(entry[0], batch_of(entry[0]), entry[8], *entry[10:12]) for entry in rows]
        return [entry for entry in entries if entry[1] in asked]


@dataclass
class _Asked:
    warehouse: AskedWarehouse
    session: Session

    async def execute(self, statement: Statement) -> None:
        await self.session.execute(statement)

    async def fetch(self, statement: Statement) -> list[tuple[Any, ...]]:
        if statement.name not in QUESTIONS:
            return await self.session.fetch(statement)
        return self.warehouse.answer(statement)


@dataclass
class Operator:
    """Who runs the commands on a world, with the definitions that it has now. Made inside a running loop."""

    world: World
    changed: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        world = self.world
        world.open()
        world.warehouse = AskedWarehouse(world.journal, world.store, world.datasets.values())

    @property
    def tools(self) -> Tools:
        world = self.world
        means = Means(world.store, InlineThreads(), InlineFanOut(), LoopClock(), world.events.append)
        parts = Parts(settings(**self.changed), world.datasets, dict(world.queues), world.warehouse, means)
        return replace(reprocess_tools(parts), token=lambda: f"{next(NUMBERS):016x}")

    async def plan(self, **wanted: Any) -> Plan:
        choice = Choice(EPOCH - timedelta(days=1), EPOCH + timedelta(days=9), **wanted)
        return await plan(choice, self.tools, lambda _: lambda _: None)

    async def run(self, **wanted: Any) -> Done:
        return await self.send(await self.plan(**wanted))

    async def send(self, planned: Plan) -> Done:
        return await Run(self.tools, rate=100, stop=lambda: False, told=lambda _: None).run(planned)

    async def errors(self) -> ErrorTable:
        return await read_table(self.tools.errors, self.tools.means, EPOCH.date())

    async def states(self) -> dict[str, int]:
        """Error rows by state, in the errors zone; the warehouse says the same."""
        rows = (await self.errors()).ask("SELECT error_id, state FROM latest")
        table = {row["error_id"]: row["state"] for row in self.world.warehouse.rows("errors")}
        assert table == dict(rows)
        return Counter(table.values())

    async def lives(self, minutes: float = 0) -> None:
        """All layers, until nothing is left to do and so many minutes are over."""
        until = LoopClock().monotonic() + 60 * minutes
        over = lambda: LoopClock().monotonic() >= until and quarantined(self.world)  # noqa: E731
        await live(self.world, over, layers=LAYERS, **self.changed)


def quarantined(world: World) -> bool:
    """Whether nothing is left to do but to send back."""
    return world.settled() and not any(len(world.queues[f"{name}-dlq"]) for name in ("records", "refine", "load"))


def mend(world: World, directory: Path, text: str = MENDED) -> None:
    """The definition is another one from now on."""
    (directory / "events.toml").write_text(text)
    world.datasets = load_datasets(directory)


def test_records_are_sent_back_after_the_definition_was_mended(world: World, tmp_path: Path) -> None:
    async def main() -> None:
        operator = Operator(world)
        world.send(event(1, amount=1), event(2, amount="many", euros=2), "{", event(3, amount=3))
        world.send(event(4, amount="few"))
        await operator.lives()
        assert await operator.states() == {"open": 3}
        expected = (await operator.plan()).forecast
        assert (expected.passing, expected.failing.total()) == (0, 3)
        mend(world, tmp_path)
        planned = await operator.plan(code="bad_type")
        assert (planned.forecast.passing, planned.forecast.chosen) == (2, 2)
        assert await already_loaded(planned, operator.tools) == 0
        done = await operator.send(planned)
        assert (done.sent, done.messages) == (2, 1)
        await operator.lives(15)
        assert world.event_ids() == ["e001", "e002", "e003", "e004"]
        assert await operator.states() == {"open": 1, "resolved": 2}
        assert len(world.queues[REPROCESS]) == 1
        await operator.lives(15)
        assert [subject for subject, _ in world.notifier.mails if "resolved" in subject]

    run_virtual(main())


def test_what_is_lost_on_its_way_is_not_resolved_by_its_neighbour(world: World, tmp_path: Path) -> None:
    """Two records of one raw file, sent back one by one: a file of that batch is loaded, but not the first one's."""

    async def main() -> None:
        operator = Operator(world)
        world.send(event(1, amount="many", euros=1), event(2, amount="few", euros=2))
        await operator.lives()
        mend(world, tmp_path)
        assert (await operator.run(limit=1)).sent == 1
        [lost] = await world.queues["refine"].receive(wait_seconds=0, visibility_seconds=60)
        await world.queues["refine"].delete([lost.receipt])
        await LoopClock().sleep(1)
        assert (await operator.run()).sent == 1
        await operator.lives(15)
        assert len(world.rows()) == 1
        assert await operator.states() == {"reprocessed": 1, "resolved": 1}

    run_virtual(main())


async def held_up(world: World, day: str) -> str:
    """The load notice about that day's file: it is taken away, as if it were late."""
    queue = world.queues["load"]
    messages = await queue.receive(wait_seconds=0, visibility_seconds=60)
    [late] = [message for message in messages if f"dt={day}/" in message.body and '"dataset":"events"' in message.body]
    await queue.delete([late.receipt])
    await queue.hide([message.receipt for message in messages if message is not late], 0)
    return late.body


def test_records_in_several_files_are_resolved_when_all_of_them_are_loaded(world: World, tmp_path: Path) -> None:
    """Two records of two days in one notice, whose files are loaded one by one."""

    async def main() -> None:
        operator = Operator(world, {"refine_partitions_max": 1})
        world.send(event(1, amount="many", euros=1), event(2, day=2, amount="few", euros=2))
        await operator.lives()
        mend(world, tmp_path)
        assert (await operator.run()).messages == 1
        await live(world, lambda: not len(world.queues["refine"]), layers=("refine",), **operator.changed)
        late = await held_up(world, "2025-12-02")
        await operator.lives(30)
        assert world.event_ids() == ["e001"]
        assert await operator.states() == {"reprocessed": 2}
        world.queues["load"].put(Outgoing(late))
        await operator.lives(30)
        assert world.event_ids() == ["e001", "e002"]
        assert await operator.states() == {"resolved": 2}

    run_virtual(main())


def test_a_message_is_resolved_when_all_files_of_its_records_are_loaded(world: World) -> None:
    async def main() -> None:
        operator = Operator(world, {"refine_partitions_max": 1})
        world.send(event(1), event(2, day=2), dataset=None)
        await operator.lives()
        assert (await operator.run()).sent == 1
        operator.changed["records_dataset_default"] = "events"
        done = lambda: len(world.queues["records"]) == len(world.queues["refine"]) == 0  # noqa: E731
        await live(world, done, layers=("land", "refine"), **operator.changed)
        late = await held_up(world, "2025-12-02")
        await operator.lives(30)
        assert world.event_ids() == ["e001"]
        assert await operator.states() == {"reprocessed": 1}
        world.queues["load"].put(Outgoing(late))
        await operator.lives(30)
        assert await operator.states() == {"resolved": 1}

    run_virtual(main())


def test_what_is_sent_in_one_moment_is_resolved_notice_by_notice(world: World, tmp_path: Path) -> None:
    """Two notices about one raw file: the ledger must be able to tell their files apart."""

    async def main() -> None:
        operator = Operator(world)
        world.send(event(1, amount="many", euros=1))
        await operator.lives()
        [raw_file] = {item.raw_file for item in (await operator.plan()).items}
        assert raw_file is not None
        notice_of = operator.tools.notice_of
        notices = [await notice_of("events", raw_file) for _ in range(3)]
        moments = [notice.produced_at for notice in notices]
        assert sorted({*moments}) == moments
        assert moments[-1] - moments[0] < timedelta(seconds=1)

    run_virtual(main())


SOUND = '{"event_id": "a", "event_time": "2026-01-01T00:00:00Z"}'


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (f"[[{SOUND}]]", "bad_json"),
        (json.dumps([{"Type": "Notification", "TopicArn": "t", "Message": SOUND}]), "missing_required"),
        ('{"a":' * 5_000 + "1" + "}" * 5_000, "too_deep"),
        (f"[{SOUND}, ]", "bad_json"),
    ],
    ids=["array in an array", "wrapped", "deep", "no JSON"],
)
def test_a_record_is_rehearsed_as_a_record(world: World, body: str, why: str) -> None:
    """Alone, some of these would be bodies that hold a record."""

    async def main() -> None:
        operator = Operator(world)
        world.send(body)
        await operator.lives()
        expected = (await operator.plan()).forecast
        assert (expected.passing, [code for _, code, _ in expected.failing]) == (0, [why])

    run_virtual(main())


def test_a_whole_raw_file_is_rehearsed_record_by_record(world: World) -> None:
    """What refine would make of it now: refuse it, or refine it, and reject which of its records."""

    async def main() -> None:
        operator = Operator(world)
        world.send(event(1), event(2, amount="many"), event(3))
        world.send("{", event(4))
        await live(world, lambda: not len(world.queues["records"]), layers=("land",))
        [uri] = [uri for uri in world.store.objects if uri.startswith("s3://raw/")]
        whole = world.store.objects[uri]
        world.store.objects[uri] = b"?" * len(whole)
        await operator.lives()
        assert await operator.states() == {"open": 1}
        expected = (await operator.plan()).forecast
        assert [code for _, code, _ in expected.failing] == ["bad_file"]
        assert expected.inside.files == 0
        world.store.objects[uri] = whole
        effects, sent = len(world.journal.effects), [len(queue) for queue in world.queues.values()]
        expected = (await operator.plan()).forecast
        assert (expected.passing, expected.chosen, expected.untold.total()) == (1, 1, 0)
        assert (expected.inside.files, expected.inside.passing) == (1, 3)
        assert {code: count for (_, code, _), count in expected.inside.failing.items()} == {
            "bad_type": 1,
            "bad_json": 1,
        }
        assert world.journal.effects[effects:] == []
        assert [len(queue) for queue in world.queues.values()] == sent
        assert (await operator.run()).sent == 1
        await operator.lives(5)
        assert world.event_ids() == ["e001", "e003", "e004"]
        del world.store.objects[uri]
        assert (await operator.plan(code="bad_file")).items == []

    run_virtual(main())


def test_a_file_that_the_warehouse_refused_is_rehearsed_as_far_as_can_be(world: World, tmp_path: Path) -> None:
    async def main() -> None:
        operator = Operator(world)
        world.warehouse.refuses = lambda row: row.get("event_id") == "e001"
        world.send(event(1))
        await operator.lives()
        assert await operator.states() == {"open": 1}
        began = len(world.journal.effects)
        expected = (await operator.plan()).forecast
        assert expected.untold == {ONLY_THE_WAREHOUSE: 1}
        assert (expected.passing, expected.failing.total(), expected.hopeless) == (0, 0, False)
        assert world.journal.effects[began:] == [], "nobody asks the warehouse"
        mend(world, tmp_path, DEFINITION.replace("varchar(32)", "varchar(8)"))
        expected = (await operator.plan()).forecast
        assert expected.untold == {OTHER_COLUMNS.format(name="event_id"): 1}
        mend(world, tmp_path, DEFINITION)
        [uri] = [uri for uri in world.store.objects if uri.startswith("s3://refined/events/")]
        del world.store.objects[uri]
        expected = (await operator.plan()).forecast
        assert {code: count for (_, code, _), count in expected.failing.items()} == {"missing_object": 1}

    run_virtual(main())


def test_a_notice_about_records_is_rehearsed_with_these_alone(world: World, tmp_path: Path) -> None:
    async def main() -> None:
        operator = Operator(world)
        world.send(event(1, amount="many", euros=1), event(2))
        await operator.lives()
        mend(world, tmp_path)
        assert (await operator.run()).sent == 1
        [uri] = [uri for uri in world.store.objects if uri.startswith("s3://raw/")]
        whole = world.store.objects[uri]
        world.store.objects[uri] = b"?" * len(whole)
        await operator.lives(5)
        world.store.objects[uri] = whole
        expected = (await operator.plan(code="bad_file")).forecast
        assert (expected.chosen, expected.inside.files, expected.inside.passing) == (1, 1, 1)

    run_virtual(main())


def test_error_files_that_were_refused_go_back_without_a_row_about_them(world: World) -> None:
    async def main() -> None:
        operator = Operator(world)
        world.warehouse.refuses = lambda row: "error_id" in row
        world.send(event(1, amount="many"))
        await operator.lives(5)
        assert len((await operator.errors()).ask("SELECT * FROM latest")) == 1
        assert world.warehouse.rows("errors") == []
        world.warehouse.refuses = lambda _: False
        run = ErrorsRun(operator.tools)
        try:
            choice = Choice(EPOCH - timedelta(days=1), EPOCH + timedelta(days=9), dataset="errors")
            planned = await run.plan(choice, lambda _: None)
            assert (len(planned.items), planned.forecast.untold) == (1, {ONLY_THE_WAREHOUSE: 1})
            done = await run.send(planned, rate=100, stop=lambda: False, told=lambda _: None)
        finally:
            await run.give_back()
        assert (done.sent, done.letters) == (1, 1)
        await operator.lives(30)
        assert await operator.states() == {"open": 1}
        subjects = [subject for subject, _ in world.notifier.mails]
        assert any("resolved: load_refused in errors" in subject for subject in subjects), subjects

    run_virtual(main())


def test_what_is_lost_on_its_way_is_mailed_when_it_is_given_up(world: World, tmp_path: Path) -> None:
    async def main() -> None:
        operator = Operator(world)
        world.send(event(1, amount="many", euros=1))
        await operator.lives()
        mend(world, tmp_path)
        round_id = (await operator.run()).round_id
        [lost] = await world.queues["refine"].receive(wait_seconds=0, visibility_seconds=60)
        await world.queues["refine"].delete([lost.receipt])
        rounds = Rounds(operator.tools.errors, operator.tools.means)
        round_ = await rounds.read(round_id)
        assert round_ is not None
        older = replace(round_, began_at=round_.began_at - ROUND_AGE_MAX)
        await rounds.change(round_id, lambda _: older)
        await operator.lives(20)
        assert await operator.states() == {"open": 1}
        subject, text = world.notifier.mails[-1]
        assert subject == "Acequia: lost on the way: bad_type in events (1)"
        assert "LOST ON THE WAY, OPEN AGAIN" in text

    run_virtual(main())


def test_what_fails_again_comes_back_and_is_parked_in_the_end(world: World) -> None:
    async def main() -> None:
        operator = Operator(world)
        world.send(event(1, amount="many"))
        await operator.lives()
        for sent in (1, 1, 0):
            done = await operator.run()
            assert (done.sent, done.parked) == (sent, 1 - sent)
            await operator.lives(5)
        assert await operator.states() == {"parked": 1}
        assert (await operator.errors()).ask("SELECT max(attempts) FROM latest") == [(3,)]
        assert (await operator.run(parked=True)).sent == 1
        await operator.lives(5)
        assert await operator.states() == {"open": 1}
        assert (await operator.plan()).exhausted[0].tried == 4

    run_virtual(main())
    assert world.rows() == []


@pytest.mark.parametrize("text", [DEFINITION, BY_MESSAGE], ids=["by key", "by message"])
def test_a_message_without_a_dataset_is_sent_back_and_loaded_once(tmp_path: Path, text: str) -> None:
    (tmp_path / "events.toml").write_text(text)
    world = World(load_datasets(tmp_path))

    async def main() -> None:
        operator = Operator(world)
        world.send(event(1), event(2), dataset=None)
        await operator.lives()
        assert await operator.states() == {"open": 1}
        assert (await operator.run()).sent == 1
        operator.changed["records_dataset_default"] = "events"
        await operator.lives(15)
        assert await operator.states() == {"resolved": 1}

    run_virtual(main())
    assert world.event_ids() == ["e001", "e002"]


def test_what_was_loaded_meanwhile_is_told_where_a_records_place_is_its_identity(tmp_path: Path) -> None:
    (tmp_path / "events.toml").write_text(BY_MESSAGE)
    world = World(load_datasets(tmp_path))

    async def main() -> None:
        operator = Operator(world)
        world.send(event(1, amount="many"), event(2, amount="few"), event(3, amount="none"))
        world.send(event(4, amount="much"))
        await operator.lives()
        mend(world, tmp_path, MENDED.replace('key = ["event_id"]', 'identity = "message"'))
        planned, tools = await operator.plan(), operator.tools
        assert await already_loaded(planned, tools) == 0
        originals = OriginalsReader(tools.errors, tools.means)
        async for sent in Parcels("somebody-else", originals, tools.notice_of).of(planned.items[:3]):
            assert isinstance(sent, Parcel)
            await tools.queues[sent.layer].send([sent.outgoing])
        await operator.lives(5)
        assert len(world.event_ids()) == 3
        assert await already_loaded(await operator.plan(), operator.tools) == 3

    run_virtual(main())


def test_each_of_several_deliveries_of_a_record_counts_as_loaded_meanwhile(world: World, tmp_path: Path) -> None:
    async def main() -> None:
        operator = Operator(world)
        for _ in range(3):
            world.send(event(1, amount="many"), event(2, amount="few"))
        await operator.lives()
        mend(world, tmp_path)
        world.send(event(1, amount="many"))
        await operator.lives()
        planned = await operator.plan()
        assert (planned.forecast.passing, await already_loaded(planned, operator.tools)) == (6, 3)

    run_virtual(main())


def test_what_was_loaded_meanwhile_is_not_loaded_twice(world: World, tmp_path: Path) -> None:
    async def main() -> None:
        operator = Operator(world)
        world.send(event(1, amount="many"), event(2, amount="few"))
        await operator.lives()
        mend(world, tmp_path)
        world.send(event(1, amount="many"))
        await operator.lives()
        planned = await operator.plan()
        assert await already_loaded(planned, operator.tools) == 1
        await operator.send(planned)
        await operator.lives(15)
        assert await operator.states() == {"resolved": 2}

    run_virtual(main())
    assert world.event_ids() == ["e001", "e002"]


@pytest.mark.parametrize("when", ["before", "after"])
def test_the_command_dies_at_any_effect_and_everything_ends_once(tmp_path: Path, when: str) -> None:
    async def story(number: int | None) -> int:
        (tmp_path / "events.toml").write_text(DEFINITION)
        world = World(load_datasets(tmp_path))
        operator = Operator(world)
        world.send(event(1, amount="many"), event(2, amount="few"), event(3))
        world.send(event(4), dataset=None)
        await operator.lives()
        mend(world, tmp_path)
        before = len(world.journal.effects)
        if number is None:
            await operator.run()
            return len(world.journal.effects) - before
        crash = _CrashAt(number)
        setattr(world.journal, when, crash)
        if when == "after":
            world.journal.before = lambda effect: crash(effect) if crash.dead else None
        with pytest.raises(Crash):
            await operator.run()
        world.journal.before, world.journal.after = Journal().before, Journal().after
        operator.changed["records_dataset_default"] = "events"
        await operator.lives(20)
        if (await operator.plan()).items:
            await operator.run()
        await operator.lives(60)
        assert world.event_ids() == ["e001", "e002", "e003", "e004"], f"{when} effect {number}"
        assert await operator.states() == {"resolved": 3}, f"{when} effect {number}"
        return 0

    effects = run_virtual(story(None))
    for number in range(int(when == "after"), effects, 2):
        run_virtual(story(number))


class _CrashAt:
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
