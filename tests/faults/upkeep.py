"""kill -9, and Ctrl-C, of `acequia replay` and `acequia reconcile --repair`; then the same command again.

The scenarios begin together, see `conftest.py`.
"""

import signal
from datetime import UTC, datetime, timedelta

from service.aws.sqs import queue_url
from tests.faults.actions import kill_after, kill_before, signal_first, stored_earlier
from tests.faults.by_hand import Point, dies, done, interrupted
from tests.faults.events import loans, within_days
from tests.faults.line import Line
from tests.faults.stores import objects_in

SMALL = {"ACEQUIA_LAND_BATCH_RECORDS_MAX": "3", "ACEQUIA_REFINE_BATCH_FILES_MAX": "1"}
HOUR_SECONDS = 3_600
REFINE, LOAD = Point("SendMessageBatch", "-refine$"), Point("SendMessageBatch", "-load$")
SECOND = Point("SendMessageBatch", "-refine$", skip=1)
READING = Point("GetObject", "^acequia-raw/")


async def repair_killed(line: Line) -> None:
    """Two notices are lost, one to refine and one to load; who announces their files again dies, again and again."""
    sent = within_days(loans(120), 1)
    await line.send(line.messages(sent, records_per_message=10))
    await _through(line, "land", "records")
    await _lose_one(line, "refine")
    await _through(line, "refine", "refine")
    await _lose_one(line, "load")
    await _through(line, "load", "load")
    assert 0 < await line.rows() < len(sent)
    line.rules.on("ListObjects", stored_earlier(HOUR_SECONDS), times=None)  # else all of it may be on its way
    reconcile = _of_days("reconcile", line)
    said = await interrupted(line, READING, *reconcile, "--repair")
    assert said.endswith("acequia: stopped; what was announced is announced. Run it again for the rest\n")
    for point in (REFINE, LOAD):
        for action in (kill_before, kill_after):
            await dies(line, point, action, *reconcile, "--repair")
    code, said = await done(line, *reconcile, "--repair")
    assert (code, "1 raw files announced" in said, "1 refined files announced" in said) == (1, True, True), said
    await line.start()
    await line.idle()
    await _adds_up(line, sent)


async def replay_killed(line: Line) -> None:
    """A definition was mended; who asks for its raw files dies, and so do those who load what came of them."""
    sent = within_days(loans(120), 1)
    await line.send(line.messages(sent, records_per_message=10))
    worker = await line.start(**SMALL)
    await line.idle()
    assert await worker.drained() == 0
    definition = line.definitions / f"{line.dataset}.toml"
    text = definition.read_text()
    definition.write_text(text.replace("application.amount_requested", "application.amount_granted"))
    replay = (*_of_days("replay", line), "--yes")
    assert "acequia: stopped; what was sent is sent." in await interrupted(line, SECOND, *replay, "--rate", "600")
    for action in (kill_before, kill_after):
        await dies(line, SECOND, action, *replay, "--rate", "600")
    said = await interrupted(line, REFINE, *replay, "--rate", "1", action=signal_first(signal.SIGINT))
    again = said.split("To go on: acequia ")[1].split()
    assert (again[0], again[-2]) == ("replay", "--since")
    code, said = await done(line, *again, "--rate", "600", "--yes")
    assert (code, "4 sent" in said) == (0, True), said
    for point in (Point("COMMIT", "COPY"), Point("DeleteObject", "^acequia-refined")):
        for action in (kill_before, kill_after):
            await dies(line, point, action)
    await line.start()
    await line.idle()
    assert await line.ask("SELECT COUNT(*) FROM {table} WHERE amount_requested IS NOT NULL") == [(0,)]
    await _adds_up(line, sent)


async def _adds_up(line: Line, sent: list[str]) -> None:
    """Each record is there once, the lake has the files that count and no others, and `reconcile` says so."""
    found = await line.ask("SELECT COUNT(*), COUNT(DISTINCT event_id) FROM {table}")
    assert found == [(len(sent), len(sent))]
    live = {uri for (uri,) in await line.ask("SELECT uri FROM {ledger} WHERE superseded_at IS NULL")}
    assert live == {uri for uri in await objects_in(line, "refined") if uri.endswith(".parquet")}
    code, said = await done(line, *_of_days("reconcile", line))
    assert (code, said.splitlines()[-1]) == (0, "It adds up."), said


def _of_days(command: str, line: Line) -> tuple[str, ...]:
    """Today's raw files, and yesterday's in case that it was midnight."""
    today = datetime.now(UTC).date()
    return command, "--dataset", line.dataset, "--from", f"{today - timedelta(days=1)}", "--to", f"{today}"


async def _through(line: Line, layer: str, queue: str) -> None:
    """A worker of that layer alone, until its queue is empty."""

    async def empty() -> bool:
        return sum(await line.depth(queue)) == 0

    worker = await line.start(ACEQUIA_LAYERS=layer, **SMALL)
    await line.until(empty)
    assert await worker.drained() == 0


async def _lose_one(line: Line, queue: str) -> None:
    """A message's retention ends."""
    sqs = line.services.aws.sqs
    url = await queue_url(sqs, line.queue(queue))
    [one] = (await sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=1))["Messages"]
    await sqs.delete_message(QueueUrl=url, ReceiptHandle=one["ReceiptHandle"])


UPKEEP = (repair_killed, replay_killed)
