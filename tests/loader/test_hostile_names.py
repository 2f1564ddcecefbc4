"""Names that SQL would read twice: what a notice says never becomes a statement, and what we quote stays a name."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.aws.redshift import open_warehouse
from service.core.clock import SystemClock
from service.core.datasets import SYSTEM_COLUMNS, Dataset
from service.core.ports import Means, Warehouse
from service.core.zones import Zone, refined_key
from service.load.commit import STATEMENTS, Commit
from service.load.groups import Group
from service.load.ledger import Unit
from service.load.stage import Stage
from service.load.statements import Statements, identifier
from service.runtime import PooledFanOut
from service.settings import PROJECT
from tests.fakes.time import InlineThreads
from tests.loader.cases import REPEATABLE
from tests.loader.files import BUCKET, TODAY, Batch, Event, notice, replay
from tests.loader.world import PATIENT, UPLOADS_MAX, Stack, World

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(300)]

SAMPLES = (
    "'; DROP TABLE lake.events; --",
    "\\'; DROP TABLE lake.events; --",
    '"; DROP TABLE lake.events; --',
    "x') ; DELETE FROM lake.events WHERE ('1'='1",
    "{ledger}",
    "$$ \\\\ /* */",
    "drop table é€😀",
)
_TEXT = st.text(st.sampled_from("'\"\\-;{}$()*% é€😀"), min_size=1, max_size=9)
HOSTILE = st.sampled_from(SAMPLES) | _TEXT
"""Never a sound name, for which a dataset would wait until its table has such a column."""
NAME = _TEXT | st.sampled_from(("select", "order", "user", "{ledger}", "staged", "--", "';--"))

Place = tuple[str | int, ...]
PLACES: tuple[Place, ...] = (
    ("dataset",),
    ("zone",),
    ("files", 0, "uri"),
    ("files", 0, "etag"),
    ("columns", 4, 0),
    ("columns", 4, 1),
    ("replaces", "raw_file"),
    ("replaces", "uris", 0),
)
CODES = {"bad_notice", "unknown_dataset", "missing_object", "bad_file"}


@settings(REPEATABLE, max_examples=6)
@given(
    texts=st.lists(HOSTILE, min_size=len(PLACES), max_size=len(PLACES)), behind=st.sampled_from(("", "what is there"))
)
async def test_what_a_notice_says_is_never_run(world: World, texts: Sequence[str], behind: str) -> None:
    await world.empty()
    batch, other = (Batch(world.dataset.name, next(world.stack.numbers)) for _ in range(2))
    files = await world.stack.lake.refined(batch, [Event(1)])
    others = await world.stack.lake.refined(other, [Event(2)])
    first, again = notice(other, others), replay(other, others, TODAY, [file.uri for file in others])
    bodies = [
        _changed(json.loads((again if place[0] == "replaces" else first).to_json()), place, text, behind=bool(behind))
        for place, text in zip(PLACES, texts, strict=True)
    ]
    world.send(*bodies, replace(notice(batch, files), batch_id=texts[0], definition=texts[1]))
    await world.live()
    letters = world.letters()
    assert {letter["original"]["body"] for letter in letters} == set(bodies)
    assert {letter["code"] for letter in letters} <= CODES
    assert [row["event_id"] for row in await world.rows()] == ["e1"]
    assert [row["uri"] for row in await world.ledger()] == [files[0].uri]
    tables = await world.asked("SELECT table_name FROM information_schema.tables WHERE table_schema = 'lake'")
    assert {"events"} <= {row["table_name"] for row in tables} <= {"events", "versions"}


@settings(REPEATABLE, max_examples=15)
@given(data=st.data())
async def test_a_name_that_is_quoted_stays_a_name(stack: Stack, world: World, data: st.DataObject) -> None:
    await world.empty()
    dataset, columns = data.draw(_datasets(world.dataset))
    zone = Zone("refined", BUCKET, data.draw(_TEXT) + "x")
    tables = [f"lake.{identifier(dataset.name)}", f"acequia.{identifier(f'load_ledger_{dataset.name}')}"]
    await _create(stack, tables, columns)
    batch = Batch(world.dataset.name, next(stack.numbers))
    [file] = await stack.lake.refined(batch, [Event(1)])
    body = await stack.store.get(file.uri)
    stored = await stack.store.put_new(
        zone.uri(refined_key("events", Event(1).partition, batch.batch_id, "0" * 12)), body
    )
    hostile = replace(file, uri=stored.uri, etag=data.draw(HOSTILE))
    units = [Unit((hostile,), batch.landed_at)]
    group = Group(dataset, columns, units, data.draw(HOSTILE), dataset.event_time, hourly=False)
    try:
        async with open_warehouse(stack.seats[0].dsn, password=None, tls=False, limits=PATIENT) as warehouse:
            commit = _commit(stack, warehouse, zone, role=data.draw(HOSTILE))
            first, second = await commit.run(group), await commit.run(group)
        assert [(done.files, done.known_files, done.inserted) for done in (first, second)] == [(1, 0, 1), (0, 1, 0)]
        [row] = await world.asked(f"SELECT * FROM {tables[0]}")
        assert [*row] == [name for name, _ in columns]
        [entry] = await world.asked(f"SELECT * FROM {tables[1]}")
        assert (entry["uri"], entry["etag"], entry["group_id"]) == (hostile.uri, hostile.etag, group.group_id)
    finally:
        for table in tables:
            await stack.asking.execute(f"DROP TABLE {table}")
    assert await world.rows() == []


@st.composite
def _datasets(draw: st.DrawFn, model: Dataset) -> tuple[Dataset, Sequence[tuple[str, str]]]:
    """A dataset and the columns of its files; every name that is not ours is hostile."""
    taken = [name for name, _ in SYSTEM_COLUMNS]
    names = draw(st.lists(NAME.filter(lambda name: name not in taken), min_size=6, max_size=6, unique=True))
    columns = [(name, kind) for name, (_, kind) in zip(names, TODAY.columns[:6], strict=True)]
    dataset = replace(
        model,
        name=draw(NAME.filter(lambda name: name not in ("events", "versions"))),
        event_time=columns[1][0],
        version=draw(st.sampled_from([None, columns[2][0]])),
    )
    return dataset, (*columns, *SYSTEM_COLUMNS)


async def _create(stack: Stack, tables: Sequence[str], columns: Sequence[tuple[str, str]]) -> None:
    """Tables by these names, made past the stand-in."""
    written = ", ".join(f"{identifier(name)} {kind}" for name, kind in columns)
    await stack.asking.execute(f"CREATE TABLE {tables[0]} ({written})")
    await stack.asking.execute(f"CREATE TABLE {tables[1]} (LIKE acequia.load_ledger_events INCLUDING ALL)")


def _commit(stack: Stack, warehouse: Warehouse, zone: Zone, *, role: str) -> Commit:
    """As `wiring.py` builds it, with a zone and a role that no setting would let in."""
    statements = Statements.load(PROJECT / "sql" / "statements" / "load.sql", expected=STATEMENTS)
    means = Means(stack.store, InlineThreads(), PooledFanOut(UPLOADS_MAX), SystemClock(), lambda _: None)
    stage = Stage(statements, refined=zone, role=role, means=means)
    return Commit(statements, warehouse=warehouse, stage=stage, large_strings=False, means=means)


def _changed(body: Any, place: Place, text: str, *, behind: bool) -> str:
    """The notice with a hostile text in one place, or behind what is there."""
    *way, last = place
    inner = body
    for step in way:
        inner = inner[step]
    inner[last] = f"{inner[last]}{text}" if behind else text
    return json.dumps(body)
