"""Data that is bad, changes, is too much, or reaches for places that are not ours: it costs itself and nobody else."""

import asyncio
import json
import re
from typing import Any

import pytest

from service.core.model import Attribute, Outgoing
from service.core.zones import split_uri
from tests.faults.actions import gate, kill_before, sql_error
from tests.faults.calls import Action, Call, Forward
from tests.faults.checker import check
from tests.faults.corpus import FOREIGN_NAMES, foreign_notices, poisons
from tests.faults.events import loans, spread, within_days
from tests.faults.history import chosen
from tests.faults.line import Line
from tests.faults.stores import read_stores

pytestmark = [pytest.mark.stack, pytest.mark.timeout(150), pytest.mark.asyncio(loop_scope="session")]

FILES = 500
MEBIBYTE = 1024 * 1024


@pytest.mark.parametrize("named", [pytest.param(True, marks=pytest.mark.faults_all), False])
async def test_one_bad_file_of_five_hundred(line: Line, *, named: bool) -> None:
    lines = spread(loans(100), FILES)
    opened = asyncio.Event()
    held = line.rules.on("SendMessageBatch", gate(opened), target="-load$")
    await line.send(line.messages(lines, records_per_message=FILES))
    await line.start(ACEQUIA_REFINE_PARTITIONS_MAX="1000")
    await line.fired(held)
    puts = sorted(one.target for one in chosen(line.history.read(), "done", "PutObject", "acequia-refined/"))
    assert len(puts) == FILES
    bad = f"s3://{puts[FILES // 3]}"
    refused = line.rules.on("COPY", _refuses(line, bad, named=named), times=None)
    opened.set()
    await line.idle()
    [day] = re.findall(r"dt=(\d{4}-\d\d-\d\d)", bad)
    gone = [json.loads(text)["event_id"] for text in lines if json.loads(text)["timestamp"].startswith(day)]
    assert len(gone) == 1
    await check(line, lines, faults=[refused, held], rejected=gone, codes={"load_refused": 1})
    assert len(list(chosen(line.history.read(), "asked", "COPY"))) <= (3 if named else 18)


def _refuses(line: Line, bad: str, *, named: bool) -> Action:
    """COPY refuses a manifest that holds this file, as Redshift does, with the file's name or without."""

    async def act(call: Call, forward: Forward) -> Any:
        [manifest] = re.findall(r"s3://[^']+\.manifest", str(call.request))
        bucket, key = split_uri(manifest)
        answer = await line.services.aws.s3.get_object(Bucket=bucket, Key=key)
        async with answer["Body"] as body:
            entries = json.loads(await body.read())["entries"]
        if bad not in {entry["url"] for entry in entries}:
            return await forward(call)
        name = f"File '{bad}' has an incompatible Parquet schema" if named else "incompatible Parquet schema"
        return await sql_error("XX000", f"Spectrum Scan Error: {name} for a column")(call, forward)

    return act


async def test_records_that_drift_and_a_definition_that_grows(line: Line) -> None:
    old = [json.loads(text) for text in within_days(loans(60), 2)]
    for number, event in enumerate(old):
        event["application"] = {"amount_requested": 1000 + number}
    drifted: list[dict[str, Any]] = [
        {**old[0], "event_id": "new-field", "extra": {"a": 1}},
        {**old[0], "event_id": "text-for-number", "application": {"amount_requested": "many"}},
        {name: value for name, value in {**old[0], "event_id": "no-step"}.items() if name != "step"},
        dict(reversed([*{**old[0], "event_id": "other-order"}.items()])),
        {**old[0], "event_id": "too-long", "step": "s" * 65},
    ]
    bad = {"text-for-number", "no-step", "too-long"}
    texts = [json.dumps(one) for one in [*old, *drifted]]
    await line.send(line.messages(texts, records_per_message=5))
    rule = line.rules.on("COPY", kill_before)
    await line.killed(rule, await line.begin())
    _grow(line)
    await line.migrate()
    new = [{**one, "event_id": f"later-{n}", "channel": f"c{n}"} for n, one in enumerate(old[:20])]
    await line.send(line.messages([json.dumps(one) for one in new], records_per_message=5))
    await line.start()
    await line.idle()
    codes = {"bad_type": 1, "missing_required": 1, "too_long": 1}
    await check(line, [*texts, *map(json.dumps, new)], faults=[rule], rejected=bad, codes=codes)
    rows = await line.ask("SELECT event_id, step, amount_requested, channel, JSON_SERIALIZE(rest) FROM {table}")
    found = {row[0]: row[1:] for row in rows}
    for event in [*old, *drifted, *new]:
        if event["event_id"] not in bad:
            step, amount, channel, rest = found[event["event_id"]]
            wanted = (event["step"], event["application"]["amount_requested"], event.get("channel"))
            assert (step, amount, channel) == wanted
            assert json.loads(rest or "{}").get("extra") == event.get("extra")


def _grow(line: Line) -> None:
    """One column more, in front of the others."""
    place = line.definitions / f"{line.dataset}.toml"
    text = place.read_text()
    column = '[[column]]\nname = "channel"\ntype = "varchar(16)"\n\n'
    place.write_text(text.replace("[[column]]", f"{column}[[column]]", 1))


async def test_messages_of_one_mebibyte_fill_no_more_than_their_share(line: Line) -> None:
    lines = within_days(loans(120), 3)
    padded = [f"{text[:-1]}{' ' * 400_000}}}" for text in lines]
    opened = asyncio.Event()
    held = line.rules.on("PutObject", gate(opened), target="^acequia-raw/", times=None)
    limits = {
        "ACEQUIA_MEMORY_BYTES_MAX": str(16 * MEBIBYTE),
        "ACEQUIA_LAND_BATCH_BYTES_MAX": str(4 * MEBIBYTE),
        "ACEQUIA_LAND_POLLERS": "2",
    }
    program = await line.start(**limits)
    before = program.resident_bytes()
    await line.send(line.messages(padded, records_per_message=2))
    await line.fired(held)
    await asyncio.sleep(2)  # two polls: nothing more is received although messages wait
    waiting, holding = await line.depth("records")
    assert waiting > 0
    # Above the limit by what the polls that were under way may bring: two of ten messages of 0.8 MB.
    assert holding * 800_000 <= 16 * MEBIBYTE + 2 * 10 * 800_000
    opened.set()
    peak = 0

    async def empty() -> bool:
        nonlocal peak
        peak = max(peak, program.resident_bytes())
        return await line.left() == 0

    await line.until(empty)
    await check(line, padded, faults=[held])
    assert peak - before < 256 * MEBIBYTE, f"{before / MEBIBYTE:.0f} MiB at first, {peak / MEBIBYTE:.0f} MiB later"


async def test_poison_costs_itself_alone(line: Line) -> None:
    lines = within_days(loans(60), 2)
    program = await line.start()
    before = program.processor_seconds()
    bodies = poisons(lines[0])
    attributes = {"dataset": Attribute("String", line.dataset)}
    wait = [Outgoing(one.body, attributes) for one in bodies]
    good = line.messages(lines, records_per_message=5)
    for number, one in enumerate(wait):
        await line.send([one, *good[number : number + 1]])
    await line.idle()
    assert program.process.poll() is None
    assert await program.probe("/livez") == (200, {"live": True})
    stores = await read_stores(line)
    found = stores.rejected_bodies()
    assert {one.name: found.get(one.body) for one in bodies} == {one.name: one.code for one in bodies}
    ids = {json.loads(text)["event_id"] for text in lines}
    assert set(stores.events) == ids | {one.event_id for one in bodies if one.code is None}
    assert list(stores.events.values()) == [1] * len(stores.events)
    assert program.processor_seconds() - before < 0.1 * len(bodies) + 2, "no body takes long"


async def test_nothing_reaches_for_places_that_are_not_ours(line: Line) -> None:
    lines = loans(50)
    names = [Outgoing("{}", {"dataset": Attribute("String", name)}) for name in FOREIGN_NAMES]
    program = await line.start()
    await line.send([*names, *line.messages(lines, records_per_message=10)])
    notices = foreign_notices(line)
    for queue in ("refine", "load"):
        await line.send([Outgoing(one) for one in notices], to=queue)
    await line.idle()
    codes = {"unknown_dataset": len(names), "bad_notice": 2 * len(notices)}
    await check(line, lines, faults=[], codes=codes)
    said = (line.directory / f"{program.name}.log").read_text().splitlines()
    assert all(isinstance(json.loads(text), dict) for text in said), "nobody writes lines into the log"
