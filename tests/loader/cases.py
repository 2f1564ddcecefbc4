"""Random sets of notices and random mishaps, and how one such case is run."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from service.core.notice import File, FileNotice
from tests.loader.account import Account
from tests.loader.files import CODES, REPLAYS, SHAPES, Batch, Event, Fault, Shape, notice, replay
from tests.loader.lives import Life
from tests.loader.world import World

REPEATABLE = settings(
    deadline=None,
    derandomize=True,
    database=None,
    # A case takes a good part of a second, so that shrinking one would take minutes: it is printed as it was found.
    phases=[Phase.explicit, Phase.generate],
    # Each case begins with empty tables and queues of its own.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
RECORDS = 8
STEPS_MAX = 80
"""A calm life takes 28 steps for one group; a search for a bad file takes more."""
STATEMENTS = ("LOCK", "COPY", "CREATE TEMP", "INSERT INTO .lake", "INSERT INTO .acequia", "COMMIT")

Strange = Literal["nothing of ours", "another zone", "unknown dataset", "another dataset's file", "unknown type"]
Trouble = Literal["violate", "drop_before_commit", "drop_after_commit", "delay_commit", "refuse_logins", "fail_copy"]


BadFile = tuple[str, Fault]
"""The partition, and what is wrong with its file."""


@dataclass(frozen=True)
class BatchCase:
    """A landed batch: its records, the definitions under which it was refined, and what is wrong with which file."""

    events: tuple[Event, ...]
    shapes: tuple[int, ...]
    fault: BadFile | None
    apart: bool
    """Whether each file has a notice of its own, or one names them all."""
    replays: tuple[BadFile | None, ...]
    """What is wrong with each replay."""


@dataclass(frozen=True)
class Mishap:
    """A fault of the first loader's stand-in, which happens once: to which statement, or to which file."""

    trouble: Trouble
    statement: str
    file: int

    def arm(self, world: World, files: Sequence[str]) -> None:
        """From now on it waits to happen."""
        wire = world.stack.seats[0].wire
        match self.trouble:
            case "violate" if self.statement == "COMMIT":
                wire.at_load(partial(wire.violate, self.statement))
            case "violate":
                wire.violate(self.statement)
            case "delay_commit":
                wire.at_load(partial(wire.delay_commit, until="load_ledger"))
            case "drop_before_commit":
                wire.at_load(wire.drop_before_commit)
            case "drop_after_commit":
                wire.at_load(wire.drop_after_commit)
            case "refuse_logins":
                wire.refuse_logins(times=2)
            case "fail_copy":
                wire.fail_copy(files[self.file % len(files)])


@dataclass(frozen=True)
class Case:
    """What is sent and in which order, and what happens meanwhile."""

    batches: tuple[BatchCase, ...]
    strange: tuple[Strange, ...]
    twice: tuple[int, ...]
    """Which messages the queue holds twice."""
    order: int
    deaths: tuple[tuple[int, bool], ...]
    """The steps at which the first loader's lives end, and whether after them."""
    mishaps: tuple[Mishap, ...]
    two_loaders: bool
    group_files_max: int
    all_again: bool
    """Whether every notice comes once more when all is done."""


_EVENTS = st.lists(st.builds(Event, st.integers(0, RECORDS - 1), st.integers(1, 3)), min_size=1, max_size=4).map(tuple)
_SHAPES = st.lists(st.integers(0, len(SHAPES) - 1), min_size=1, max_size=2, unique=True).map(tuple)
_MISHAP = st.builds(
    Mishap,
    st.sampled_from(
        ("violate", "drop_before_commit", "drop_after_commit", "delay_commit", "refuse_logins", "fail_copy")
    ),
    st.sampled_from(STATEMENTS),
    st.integers(0, 9),
)
_STRANGE: tuple[Strange, ...] = (
    "nothing of ours",
    "another zone",
    "unknown dataset",
    "another dataset's file",
    "unknown type",
)


@st.composite
def _batches(draw: st.DrawFn, *, bad: bool) -> BatchCase:
    events = draw(_EVENTS)
    partitions = sorted({event.partition for event in events})
    some = st.tuples(st.sampled_from(partitions), st.sampled_from(sorted(CODES)))
    fault = st.none() | some if bad else st.none()
    return BatchCase(
        events, draw(_SHAPES), draw(fault), draw(st.booleans()), tuple(draw(st.lists(fault, max_size=len(REPLAYS) - 2)))
    )


def cases(*, bad: bool) -> st.SearchStrategy[Case]:
    """Runs with deaths and mishaps; with `bad`, files and messages may be bad too."""
    return st.builds(
        Case,
        batches=st.lists(_batches(bad=bad), min_size=1, max_size=4).map(tuple),
        strange=st.lists(st.sampled_from(_STRANGE), max_size=2 if bad else 0, unique=True).map(tuple),
        twice=st.lists(st.integers(0, 9), max_size=3).map(tuple),
        order=st.integers(0, 99),
        deaths=st.lists(st.tuples(st.integers(0, STEPS_MAX), st.booleans()), max_size=3).map(tuple),
        mishaps=st.lists(_MISHAP, max_size=3).map(tuple),
        two_loaders=st.booleans(),
        group_files_max=st.sampled_from((500, 3)),
        all_again=st.booleans(),
    )


async def run(case: Case, world: World) -> None:
    """Send it all, live through it all, and check what came of it."""
    await world.empty()
    account = await _account(case, world)
    messages = _messages(case, account)
    for mishap in case.mishaps:
        mishap.arm(world, [*account.made])
    if case.two_loaders:
        messages, world.load.a_receive_max = [*messages, *messages], 1
    world.send(*messages)
    async with asyncio.TaskGroup() as loaders:
        if case.two_loaders:
            loaders.create_task(world.live(seat=1, load_batch_files_max=case.group_files_max))
        for dies_at, after in case.deaths:
            await world.live(Life(dies_at, after=after), load_batch_files_max=case.group_files_max)
        await world.live(load_batch_files_max=case.group_files_max)
    if case.all_again:
        world.send(*messages)
        await world.live()
    await account.check(world)


async def _account(case: Case, world: World) -> Account:
    """Store the files, and write the notices about them."""
    account = Account()
    for given in case.batches:
        batch = Batch(world.dataset.name, next(world.stack.numbers))
        for how in (SHAPES[number] for number in given.shapes):
            files = await _files(given.fault, batch, given.events, how, world)
            account.add(batch, how, files, given.events, _faults(given.fault))
            parts = [[file] for file in files] if given.apart else [files]
            account.notices.extend(notice(batch, part, how) for part in parts)
        for number, fault in enumerate(given.replays, start=1):
            how, old = REPLAYS[number - 1], account.uris(batch)
            events = [replace(event, mapping=number) for event in given.events]
            files = await _files(fault, batch, events, how, world)
            account.add(batch, how, files, events, _faults(fault), replay=number)
            account.notices.append(replay(batch, files, how, old, number=number))
    account.strange.update(_strange(kind, account.notices[0]) for kind in case.strange)
    return account


async def _files(
    fault: BadFile | None, batch: Batch, events: Sequence[Event], how: Shape, world: World
) -> Sequence[File]:
    return await world.stack.lake.refined(batch, events, how, _faults(fault))


def _faults(fault: BadFile | None) -> dict[str, Fault]:
    return {} if fault is None else dict([fault])


def _messages(case: Case, account: Account) -> list[str]:
    once = [*(one.to_json() for one in account.notices), *account.strange]
    messages = [*once, *(once[number % len(once)] for number in case.twice)]
    random.Random(case.order).shuffle(messages)
    return messages


def _strange(kind: Strange, ours: FileNotice) -> tuple[str, str]:
    """A message that is no notice of ours about a file of ours, and its code."""
    elsewhere = [replace(file, uri=file.uri.replace(f"/{ours.dataset}/", "/strangers/")) for file in ours.files]
    match kind:
        case "nothing of ours":
            return '{"Records": []}', "bad_notice"
        case "another zone":
            return replace(ours, zone="raw").to_json(), "bad_notice"
        case "unknown dataset":
            return replace(ours, dataset="strangers", files=elsewhere).to_json(), "unknown_dataset"
        case "another dataset's file":
            return replace(ours, files=elsewhere).to_json(), "bad_notice"
        case "unknown type":
            columns = [*ours.columns[:-1], ("_raw_file", "varchar(9); --")]
            return replace(ours, columns=columns).to_json(), "bad_notice"
