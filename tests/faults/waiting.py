"""Scenarios that take as long as a visibility, or as the SDK waits for a byte: mostly they wait.

The shortest visibility that the settings allow is 62 seconds, the SDK's read timeout is 30, an address that was looked
up is used for 10, and a mail that failed is tried again after half a minute. So these begin with the first test of the
directory, run beside the others, and have their ends awaited in `test_waiting.py`.
"""

import asyncio
import signal

from service.local.ports import HOST
from tests.faults.actions import gate, hang, paced, pretend, reset, s3_error, short_visibility, signal_first, sqs_error
from tests.faults.calls import Pace, Worker
from tests.faults.checker import check
from tests.faults.events import loans, within_days
from tests.faults.history import chosen
from tests.faults.http_proxy import http_proxy
from tests.faults.line import Line
from tests.faults.names import Names, by_name
from tests.faults.program import Program
from tests.faults.sql_proxy import sql_proxy
from tests.faults.topic import topic

EXPIRES_SECONDS_MAX = 110
SERVICES = ("sqs", "s3", "warehouse")


async def extensions_fail(line: Line) -> None:
    """The work is slower than the visibility, which cannot be extended: its messages are not deleted by us."""
    lines = loans(60)
    held = line.rules.on("PutObject", s3_error("ServiceUnavailable", 503), target="^acequia-raw/", times=None)
    vain = line.rules.on("ChangeMessageVisibilityBatch", sqs_error("ServiceUnavailable", 503), times=None)
    await line.send(line.messages(lines, records_per_message=10))
    program = await line.start()
    await line.fired(vain, seconds_max=EXPIRES_SECONDS_MAX)
    await program.until("claims_expired", seconds_max=EXPIRES_SECONDS_MAX)
    held.lift()
    await line.idle()  # the emulator hides what has expired, if an extension still under way reaches it
    stores = await check(line, lines, faults=[held, vain])
    _first_receipts_were_not_used(line, "worker-1")
    assert all(count == 1 for count in stores.events.values())


async def objects_stall(line: Line) -> None:
    """A PUT whose answer never comes (a connection half open), then a body that stops on its way."""
    lines = loans(100)
    silent = line.rules.on("PutObject", hang, target="^acequia-raw/")
    stalled = line.rules.on("GetObject", paced(Pace(1_000, 0, stalls_after_bytes=1_000)), target="^acequia-raw/")
    await line.send(line.messages(lines, records_per_message=10))
    program = await line.start()
    await line.fired(stalled, seconds_max=EXPIRES_SECONDS_MAX)
    assert (await program.probe("/livez"))[0] == 200
    await line.idle(seconds_max=EXPIRES_SECONDS_MAX)
    await check(line, lines, faults=[silent, stalled])


async def sleeper(line: Line) -> None:
    """A process that slept for longer than the visibility sees that its claims are gone before it acts on them."""
    lines = loans(60)
    rule = line.rules.on("PutObject", signal_first(signal.SIGSTOP), target="^acequia-raw/")
    await line.send(line.messages(lines, records_per_message=10))
    sleeper = await line.begin()
    await line.fired(rule)
    await line.start()
    await line.idle(seconds_max=EXPIRES_SECONDS_MAX)  # the other one gets the messages when their time is up
    sleeper.signal(signal.SIGCONT)
    await sleeper.until("claims_expired")
    await sleeper.until("batch_finished")
    await line.idle()
    await check(line, lines, faults=[rule])
    _first_receipts_were_not_used(line, "worker-1")
    assert await sleeper.drained() == 0


async def extensions_in_vain(line: Line) -> None:
    """Extensions are acknowledged and do nothing, so that another worker has the same messages."""
    lines = loans(60)
    short = line.rules.on("ReceiveMessage", short_visibility(4), target="-records$", worker="worker-1", times=4)
    vain = line.rules.on("ChangeMessageVisibilityBatch", pretend, target="-records$", worker="worker-1", times=None)
    opened = asyncio.Event()
    held = line.rules.on("PutObject", gate(opened), target="^acequia-raw/", worker="worker-1", times=None)
    await line.send(line.messages(lines, records_per_message=10))
    first = await line.start()
    await line.fired(held)
    line.rules.on("ReceiveMessage", gate(opened), target="-records$", worker="worker-1", times=None)
    second = await line.start()
    await second.until("file_landed")
    await line.fired(vain, seconds_max=EXPIRES_SECONDS_MAX)
    opened.set()
    await first.until("file_landed")
    await line.idle()
    stores = await check(line, lines, faults=[short, held, vain])
    landed = [message for uri in stores.raw for message in stores.raw[uri].table.column("message_id").to_pylist()]
    assert len(landed) > len(set(landed)), "both had the same messages"


async def names_do_not_resolve(line: Line) -> None:
    """No name resolves at the start; then one after the other is gone for a while."""
    lines = within_days(loans(300), 3)
    names = Names(line.directory)
    program = await _by_names(line, names)
    await names.refused("sqs")
    names.know("sqs")
    await program.until("service_started")
    await names.refused("s3")
    await names.refused("warehouse")
    await line.until(program.paused)
    names.know(*SERVICES)
    rules = []
    for number, service in enumerate(SERVICES):
        names.know(*(other for other in SERVICES if other != service))
        rules.append(line.rules.on("", reset, service=service, times=None))  # else connections that are open go on
        await line.send(line.messages(lines[number * 100 :][:100], records_per_message=10))
        await names.refused(service)
        await line.until(program.paused)
        rules[-1].lift()
        await names.refused(service)
        assert await line.left() > 0
        names.know(*SERVICES)
        await line.idle()
    await check(line, lines, faults=rules)
    assert await program.drained() == 0


async def mail_cut_off(line: Line) -> None:
    """Nobody can be mailed: letters and records go their way meanwhile, and the mail goes out afterwards."""
    lines = within_days(loans(100), 3)
    cut = line.rules.on("", reset, service="sns", times=None)
    people = await topic(line)
    program = await line.start(ACEQUIA_LAYERS="land,refine,load,quarantine", ACEQUIA_ALERTS_TOPIC_ARN=people.arn)
    await line.send(line.messages(["{}"], records_per_message=1, dataset="nobodys"))
    await program.until("mail_failed", seconds_max=EXPIRES_SECONDS_MAX)
    await line.send(line.messages(lines, records_per_message=10))
    await line.idle()
    assert await line.rows() == 100
    assert sum(await line.depth("reprocess")) == 1, "the letter has its place without a mail"
    assert (await program.probe("/readyz"))[0] == 200, "mail is in nobody's way"
    cut.lift()
    await program.until("mail_sent", seconds_max=EXPIRES_SECONDS_MAX)
    assert await people.mails()
    assert cut.fired
    assert await program.drained() == 0


async def _by_names(line: Line, names: Names) -> Program:
    """A worker whose endpoints have names."""
    worker, endpoint = Worker("worker-1"), line.services.aws_endpoint
    sqs = await line.exits.enter_async_context(http_proxy("sqs", worker, line.traffic, endpoint))
    s3 = await line.exits.enter_async_context(http_proxy("s3", worker, line.traffic, endpoint))
    port = await line.exits.enter_async_context(sql_proxy(worker, line.traffic, line.services.warehouse_port))
    return await line.begin(
        **names.environment(
            {
                "AWS_ENDPOINT_URL_SQS": by_name("sqs", sqs),
                "AWS_ENDPOINT_URL_S3": by_name("s3", s3),
                "ACEQUIA_WAREHOUSE_DSN": by_name("warehouse", f"postgresql://acequia@{HOST}:{port}/acequia"),
            }
        )
    )


def _first_receipts_were_not_used(line: Line, worker: str) -> None:
    history = line.history.read()
    first = {
        message["receipt"]
        for entry in chosen(history, "done", "ReceiveMessage", "-records", worker=worker)
        for message in entry.facts["messages"]
        if message["count"] == 1
    }
    assert first
    for entry in chosen(history, "asked", "DeleteMessageBatch", "-records", worker=worker):
        assert not first & set(entry.facts["receipts"].values()), "deleted with a claim that had expired"


BEGUN = (extensions_fail, objects_stall, sleeper, extensions_in_vain, names_do_not_resolve, mail_cut_off)
