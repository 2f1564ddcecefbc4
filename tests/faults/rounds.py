"""kill -9, and Ctrl-C, of `acequia reprocess` at each of its effects; then the same command again, as its users would.

The scenarios begin together, see `conftest.py`.
"""

import random
import signal
from collections.abc import Sequence

from tests.faults.actions import kill_after, kill_before, signal_first
from tests.faults.by_hand import Point, dies, done, interrupted
from tests.faults.calls import Action
from tests.faults.events import PATHS, loans, spoiled, within_days
from tests.faults.line import Line
from tests.faults.program import Program
from tests.faults.rejected import check_rejected, dead_letters, error_rows
from tests.stack.conftest import PROJECT

TEXTS = [column for column in PATHS if column != "amount_requested"]
BEGUN = Point("PutObject", r"/rounds/[^/]+\.json$")
SENT = Point("SendMessageBatch", "-refine$")
WRITTEN = Point("PutObject", r"/rounds/[^/]+/1\.json$")
ROWS = Point("PutObject", "/errors/dt=")
TOLD = Point("SendMessageBatch", "-load$")
SETTLED = Point("DeleteMessageBatch", "-reprocess$")
OVER = Point("PutObject", r"/rounds/[^/]+\.json$", skip=1)
MARKED = Point("PutObject", "/fingerprints/[0-9a-f]{16}")
"""The effects of a run, in their order. Until its rows say so, nothing counts as sent back."""
LISTING = Point("ListObjects", "/errors/dt=")
HURRY = """
from service.quarantine import resolve

assert resolve.LOOK_SECONDS > 0 < resolve.STALE_SECONDS
resolve.LOOK_SECONDS = resolve.STALE_SECONDS = 1.0
"""
"""The resolver looks each minute, and takes a round for given up after a quarter of an hour."""


async def run_killed(line: Line) -> None:
    """While records of a raw file are being sent, again and again the same ones."""
    sent = await _rejected(line, TEXTS[:1])
    worker = await line.start()
    [run] = await _runs(line)
    for point in (BEGUN, SENT, WRITTEN, ROWS):
        for action in (kill_before, kill_after):
            await dies(line, point, action, *run)
    await _nothing_open(line, *run)
    await _resolved(line, worker, {"too_long": 2})
    await _once(line, line.dataset, sent)


async def run_killed_behind(line: Line) -> None:
    """After each effect behind the rows. What was killed before one of them has left the same."""
    await behind_killed(line, kill_after)


async def behind_killed(line: Line, action: Action) -> None:
    """Each time with other records of the same raw file: those before them are on their way."""
    sent = await _rejected(line, TEXTS)
    worker = await line.start()
    untold, settling, *others = await _runs(line)
    await dies(line, TOLD, action, *untold)
    await _nothing_open(line, *untold)
    await dies(line, SETTLED, action, *settling)  # it was to settle what the one before it has left
    code, said = await done(line, *settling)
    assert (code, "2 sent back in 1 messages, 0 parked, " in said) == (0, True), said
    for run, point in zip(others, (SETTLED, OVER, MARKED), strict=True):
        await dies(line, point, action, *run)
        await _nothing_open(line, *run)
    await _resolved(line, worker, {"too_long": 2 * len(TEXTS)})
    await _once(line, line.dataset, sent)


async def messages_killed(line: Line) -> None:
    """Messages that nobody knew a dataset for, and a Ctrl-C between two of them; and Ctrl-C of all that only looks."""
    later = f"{line.dataset}_later"
    lines = within_days(loans(90), 2)
    first = await line.start(ACEQUIA_LAYERS="land,quarantine,load")
    await line.send(line.messages(lines, records_per_message=15, dataset=later))
    await _settled_down(line, 6)
    assert await first.drained() == 0
    await line.define(later, line.definitions / f"{line.dataset}.toml")
    worker = await line.start()
    run = ("reprocess", "run", "--yes", "--layer", "land")
    [fingerprint] = {row.fingerprint for row in await error_rows(line)}
    for arguments in (("reprocess", "list"), ("reprocess", "show", fingerprint)):
        assert (await interrupted(line, LISTING, *arguments)).splitlines() == ["acequia: stopped"]
    assert "the same command goes on" in await interrupted(line, LISTING, *run)
    send = Point("SendMessageBatch", "-records$")
    twice = line.rules.on(send.operation, signal_first(signal.SIGINT), target=send.target, worker=line.next_name)
    assert "is not loaded twice" in await interrupted(line, WRITTEN, *run, "--rate", "1")
    assert twice.fired, "that was the second Ctrl-C: the first one has it write down what was sent"
    said = await interrupted(line, send, *run, "--rate", "1", action=signal_first(signal.SIGINT))
    assert "1 sent back in 1 messages" in said
    assert "acequia: stopped; what was sent is written down. The same command sends the rest" in said
    await dies(line, send, kill_before, *run)
    for point in (send, WRITTEN, ROWS):
        await dies(line, point, kill_after, *run)
    await _nothing_open(line, *run)
    await _resolved(line, worker, {"unknown_dataset": 6})
    await _once(line, later, lines)


async def killed_anywhere(line: Line, seed: int) -> None:
    """Three times at random calls for each kind of failure, until the command has nothing to do."""
    dice = random.Random(seed)
    sent = await _rejected(line, TEXTS)
    worker = await line.start()
    for run in await _runs(line):
        for _ in range(3):
            action = dice.choice([kill_before, kill_after])
            line.rules.on("Put|Batch|Receive", action, worker=line.next_name, skip=dice.randrange(9))
            victim = await line.begin(*run)
            assert await victim.ended() in (0, -signal.SIGKILL)
            await line.expire(victim)
        assert (await done(line, *run))[0] == 0
    await _resolved(line, worker, {"too_long": 2 * len(TEXTS)})
    await _once(line, line.dataset, sent)


async def _rejected(line: Line, columns: Sequence[str]) -> list[str]:
    """Have two records rejected for each of these texts, then make room for them; all that was sent."""
    good = within_days(loans(60), 2)
    bad = [text for column in columns for text in spoiled(good[:2], column)]
    first = await line.start(ACEQUIA_LAYERS="land,refine,load,quarantine")
    await line.send(line.messages([*good, *bad], records_per_message=10))
    await _settled_down(line, len(bad))
    assert await first.drained() == 0
    definition = line.definitions / f"{line.dataset}.toml"
    text = definition.read_text()
    definition.write_text(text.replace("varchar(16)", "varchar(96)").replace("varchar(64)", "varchar(96)"))
    await line.migrate()
    return [*good, *bad]


async def _runs(line: Line) -> list[tuple[str, ...]]:
    """The command for each kind of failure."""
    names = {row.fingerprint for row in await error_rows(line)}
    return [("reprocess", "run", "--yes", "--fingerprint", name) for name in sorted(names)]


async def _nothing_open(line: Line, *arguments: str) -> None:
    """The command is given again, where the rows say that all was sent back."""
    code, said = await done(line, *arguments)
    assert (code, "Nothing open is chosen: nothing to send." in said) == (0, True), said


async def _settled_down(line: Line, rows: int) -> None:
    """Wait until so many errors are in the table, and nothing is on its way."""

    async def there() -> bool:
        return await dead_letters(line) + await line.left() == 0 and len(await error_rows(line)) == rows

    await line.until(there, seconds_max=120)


async def _resolved(line: Line, worker: Program, codes: dict[str, int]) -> None:
    """Wait until all is in committed files and known to be, with a resolver that has little patience; check it."""
    await line.idle()
    assert await worker.drained() == 0
    place = line.directory / "hurry"
    place.mkdir()
    (place / "sitecustomize.py").write_text(HURRY)
    last = await line.start(ACEQUIA_LAYERS="land,refine,load,quarantine", PYTHONPATH=f"{place}:{PROJECT}")

    async def resolved() -> bool:
        states = {row.state for row in await error_rows(line)}
        return states == {"resolved"} and len(last.said("round_looked")) > 0 and await line.left() == 0

    await line.until(resolved, seconds_max=120)
    found = await check_rejected(line, codes)
    assert {one["state"] for one in found.states.values()} == {"resolved"}
    assert await last.drained() == 0


async def _once(line: Line, dataset: str, sent: Sequence[str]) -> None:
    """Each record is in the warehouse, once."""
    found = await line.ask(f"SELECT COUNT(*), COUNT(DISTINCT event_id) FROM lake.{dataset}")
    assert found == [(len(sent), len(sent))]


ROUNDS = (run_killed_behind, run_killed, messages_killed)
