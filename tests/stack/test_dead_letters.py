"""The operator's way with what was rejected: mail, show, a mended definition, rehearsal, back, resolved, a sum."""

import asyncio
import itertools
import json
import re
import shutil
import signal
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest

from service.local.feed import messages
from service.local.ports import free_port
from service.local.provision import RECORDS, open_aws
from service.local.samples.loans import loan_events
from service.settings import LAYERS
from tests.stack.conftest import PROJECT, Starter

pytestmark = [pytest.mark.stack, pytest.mark.timeout(420)]

DATASET = "loan_events"
RECORDS_SENT = 2_000
WAIT_SECONDS_MAX = 200
Environment = dict[str, str]


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Environment]:
    """The backing services, definitions of the test's own, and the environment of workers and commands."""
    starter = Starter(tmp_path)
    definitions = tmp_path / "definitions"
    definitions.mkdir()
    shutil.copy(PROJECT / "datasets" / f"{DATASET}.toml", definitions)
    try:
        arguments = ("--stack-only", "--env-file", "stack.env", "--datasets", str(definitions))
        starter("local", *arguments).until("keep running")
        written = (tmp_path / "stack.env").read_text()
        yield {**dict(line.split("=", 1) for line in written.splitlines()), "ACEQUIA_LAYERS": ",".join(LAYERS)}
    finally:
        starter.stop()


def poisoned() -> Iterator[str]:
    """Loan events, five in a hundred of them bad, each in a way of its own."""
    events, _ = loan_events(applications=400, events=RECORDS_SENT)
    for number, text in enumerate(itertools.islice(events, RECORDS_SENT)):
        event = json.loads(text)
        match number % 100:
            case 7:
                yield text[:-1]
                continue
            case 17:
                del event["application_id"]
            case 27:
                event["timestamp"] = "yesterday"
            case 37:
                event["transition"] = "COMPLETED_BY_A_COLLEAGUE"
            case 47:
                event["user"] = {"name": "x"}
        yield json.dumps(event)


def acequia(start: Starter, environment: Environment, *arguments: str) -> tuple[int, str]:
    """A command as an operator gives it: its exit code, and what it said."""
    program = start(*arguments, **environment)
    return program.finish(), program.text


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while not await holds():  # noqa: ASYNC110 (another process)
            await asyncio.sleep(0.5)


async def test_from_the_mail_to_resolved(stack: Environment, start: Starter, tmp_path: Path) -> None:
    worker = start("run", **stack)
    worker.until("service_started")
    async with open_aws(stack["AWS_ENDPOINT_URL"]) as aws:
        queue = await aws.queue(RECORDS)
        lines = (line.encode() for line in poisoned())
        await queue.send([one for one, _ in messages(lines, dataset=DATASET, records_per_message=50)])
    mails = tmp_path / ".acequia" / "mail"
    warehouse = await asyncpg.connect(stack["ACEQUIA_WAREHOUSE_DSN"], statement_cache_size=0)

    async def ask(sql: str) -> list[tuple[object, ...]]:
        return [tuple(row) for row in await warehouse.fetch(sql)]

    async def mailed() -> bool:
        return len(list(mails.iterdir())) >= 1

    await until(mailed)
    states = "SELECT code, records, state FROM acequia.failures ORDER BY 1"
    bad = RECORDS_SENT // 100
    codes = ("bad_json", "bad_time", "bad_type", "missing_required", "too_long")
    assert await ask(states) == [(code, bad, "open") for code in codes]
    mail = (mails / "001.txt").read_text()
    assert mail.startswith(f"Subject: Acequia: new: 5 kinds of failure ({5 * bad})\n")
    [cause] = re.findall(r"too_long in .*?--fingerprint (\w+)", mail, re.DOTALL)

    assert "COMPLETED_BY_A_COLLEAGUE" in _looked(start, stack, cause)
    code, said = acequia(start, stack, "reprocess", "run", "--fingerprint", cause)
    assert (code, "say --yes" in said) == (2, True), "most would fail again, and nobody is there to be asked"

    _mend(tmp_path / "definitions" / f"{DATASET}.toml")
    assert acequia(start, stack, "migrate")[0] == 0
    worker.process.send_signal(signal.SIGTERM)
    assert worker.finish() == 0
    start("run", **stack).until("service_started")
    code, said = acequia(start, stack, "reprocess", "run", "--fingerprint", cause, "--rehearse")
    assert (code, f"{bad} would pass now, 0 would fail again" in said) == (0, True)
    code, said = acequia(start, stack, "reprocess", "run", "--fingerprint", cause)
    assert (code, f"{bad} sent back" in said) == (0, True), said

    async def resolved() -> bool:
        return ("too_long", bad, "resolved") in await ask(states) and len(list(mails.iterdir())) >= 2

    await until(resolved)
    assert "resolved" in (mails / "002.txt").read_text()
    assert await ask(f"SELECT COUNT(*) FROM lake.{DATASET}") == [(RECORDS_SENT - 4 * bad,)]
    today = datetime.now(UTC).date().isoformat()
    code, said = acequia(start, stack, "reconcile", "--dataset", DATASET, "--from", today, "--to", today)
    assert (code, "It adds up." in said) == (0, True), said
    await warehouse.close()


def _looked(start: Starter, stack: Environment, cause: str) -> str:
    """What a look shows, which reads the errors zone alone: no queue can be reached."""
    without_queues = {**stack, "AWS_ENDPOINT_URL_SQS": f"http://127.0.0.1:{free_port(0)}"}
    looks = (("list",), ("run", "--fingerprint", cause, "--rehearse"), ("show", cause))
    said = [acequia(start, without_queues, "reprocess", *look) for look in looks]
    assert [code for code, _ in said] == [0, 0, 0], said
    return said[-1][1]


def _mend(definition: Path) -> None:
    text = definition.read_text()
    definition.write_text(
        text.replace('name = "transition"\ntype = "varchar(16)"', 'name = "transition"\ntype = "varchar(32)"')
    )
