"""The calls that real processes make, each layer in one of its own as in the profile split, and those of commands.

All of them stand in `calls.py`, and what stands there is made, but for what only faults bring about.
"""

import asyncio
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

import pytest

from service.core.model import Outgoing
from service.local.stack import ZONES
from tests.deploy.calls import RECEIVED, STORED, USES
from tests.faults.by_hand import done
from tests.faults.events import loans, spoiled, within_days
from tests.faults.history import Entry
from tests.faults.line import Line
from tests.faults.program import Program
from tests.faults.rejected import dead_letters, error_rows
from tests.faults.rounds import HURRY
from tests.faults.topic import topic
from tests.stack.conftest import PROJECT

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="session")]

LAYERS = ("land", "refine", "load", "quarantine")
SPELLED = {"ListObjects": "ListObjectsV2"}
"""What the proxy calls otherwise than AWS."""
ZONE_OF = {bucket: zone for zone, bucket in ZONES.items()}

REJECTED = 5
"""Two records, a message of a dataset that nobody knows yet, and two notices that are none."""

MAIL = """
from service.quarantine import mailer

assert mailer.LOOK_SECONDS > 0
mailer.LOOK_SECONDS = 1.0
"""
"""The mailer looks every quarter of a minute."""
MAIL_SECONDS_MAX = 150

Made = tuple[str, str]
"""A call, and the place of it."""


async def test_processes_call_what_the_roles_are_made_for_and_nothing_else(line: Line) -> None:
    roles = await _everything(line)
    observed: dict[str, set[Made]] = {role: set() for role in USES}
    for entry in line.history.read():
        if entry.what == "asked" and entry.service != "warehouse":
            observed[roles[entry.worker]].add(_made(line, entry))
    unknown = {role: {one for one in made if not any(_known(role, one))} for role, made in observed.items()}
    assert unknown == {role: set() for role in USES}
    for role, uses in USES.items():
        idle = {(call, place) for place, calls in uses.items() for call in calls} - {
            found for one in observed[role] for found in _known(role, one)
        }
        assert idle <= set(_by_faults(role)), role


async def _everything(line: Line) -> dict[str, str]:
    """Records through all layers, rejections of every layer, a way back, a replay, the books; roles by process."""
    people, later = await topic(line), f"{line.dataset}_later"
    good = within_days(loans(40), 1)
    first = await _start(line, ACEQUIA_ALERTS_TOPIC_ARN=people.arn)
    await line.send(line.messages([*good, *spoiled(good[:2], "transition")], records_per_message=10))
    await line.send(line.messages(good[:1], records_per_message=1, dataset=later))
    await line.send([Outgoing("no notice")], to="load")
    await line.send([Outgoing("no notice")], to="refine")

    async def rejected() -> bool:
        return await dead_letters(line) + await line.left() == 0 and len(await error_rows(line)) == REJECTED

    await line.until(rejected, seconds_max=120)
    await asyncio.gather(*(one.drained() for one in first.values()))
    definition = line.definitions / f"{line.dataset}.toml"
    text = definition.read_text()
    definition.write_text(text.replace("varchar(16)", "varchar(96)").replace("varchar(64)", "varchar(96)"))
    await line.define(later, definition)
    place = line.directory / "hurry"
    place.mkdir()
    (place / "sitecustomize.py").write_text(HURRY + MAIL)
    hurried = f"{place}:{PROJECT}"
    second = await _start(line, ACEQUIA_ALERTS_TOPIC_ARN=people.arn, PYTHONPATH=hurried)
    before = len(line.programs)
    await _commands(line)
    await second["quarantine"].until("mail_sent", seconds_max=MAIL_SECONDS_MAX)
    operator = {program.name: "operator" for program in line.programs[before:]}
    await asyncio.gather(*(worker.drained() for worker in second.values()))
    return {**operator, **{one.name: role for run in (first, second) for role, one in run.items()}}


async def _commands(line: Line) -> None:
    """What failed for want of room, or of a dataset, is sent back; then the days are replayed, and counted."""
    today = datetime.now(UTC).date()
    days = ("--dataset", line.dataset, "--from", f"{today - timedelta(days=1)}", "--to", f"{today}")
    codes = ("too_long", "unknown_dataset")
    mended = sorted({row.fingerprint for row in await error_rows(line) if row.code in codes})
    runs = [("reprocess", "run", "--yes", "--fingerprint", one) for one in mended]

    async def resolved() -> bool:
        return {row.state for row in await error_rows(line) if row.code in codes} == {"resolved"}

    for command in (("reprocess", "list"), ("reprocess", "show", mended[0]), *runs):
        code, said = await done(line, *command)
        assert code == 0, said
    await line.until(resolved, seconds_max=120)
    code, said = await done(line, "replay", *days, "--yes")
    assert code == 0, said
    await line.idle()
    assert (await done(line, "reconcile", *days))[0] in (0, 1)


async def _start(line: Line, **changed: str) -> Mapping[str, Program]:
    begun = {layer: await line.begin(ACEQUIA_LAYERS=layer, **changed) for layer in LAYERS}
    await asyncio.gather(*(one.until("service_started") for one in begun.values()))
    return begun


def _made(line: Line, entry: Entry) -> Made:
    call = f"{entry.service}:{SPELLED.get(entry.operation, entry.operation)}"
    if entry.service == "sqs":
        return call, entry.target.removeprefix(f"{line.name}-")
    if entry.service == "sns":
        return call, "topic"
    bucket, _, key = entry.target.partition("/")
    return call, f"{ZONE_OF[bucket]}/{key.removeprefix(line.name).lstrip('/')}"


def _known(role: str, made: Made) -> Iterator[Made]:
    """The lines of the table that this call is one of."""
    call, target = made
    for place, calls in USES[role].items():
        if call in calls and (target.startswith(place) if "/" in place else target == place):
            yield call, place


def _by_faults(role: str) -> Iterator[Made]:
    """What nothing but a fault, a letter of more than a mebibyte, a paused dataset or books that do not add up bring
    about; and, of the task's protection, what only ECS answers. `tests/faults` has them all.
    """
    for place, calls in USES[role].items():
        for call in calls:
            again = call in STORED and "s3:PutObject" in calls and (call != "s3:PutObject" or "originals" in place)
            letters = call == "sqs:SendMessageBatch" and (place.endswith("-dlq") or call in calls[len(RECEIVED) :])
            extends = call in ("sqs:ChangeMessageVisibilityBatch", "sqs:GetQueueAttributes")
            books = role == "operator" and place == "refined/"
            if again or letters or extends or books or place == "task":
                yield call, place
