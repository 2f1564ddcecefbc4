"""Two workers, kill -9 again and again at random moments while records flow; in the end every record is there once."""

import random
import signal

import pytest

from tests.faults.checker import check
from tests.faults.events import loans, within_days
from tests.faults.line import Line

pytestmark = [pytest.mark.stack, pytest.mark.timeout(900), pytest.mark.asyncio(loop_scope="session")]

RECORDS_A_MESSAGE = 50
SMALL = {"ACEQUIA_LAND_BATCH_RECORDS_MAX": "20", "ACEQUIA_LOAD_BATCH_SECONDS_MAX": "0.5"}


async def _killed_again_and_again(line: Line, *, kills: int, records: int, seed: int) -> None:
    dice = random.Random(seed)
    lines = within_days(loans(records), 3)
    messages = line.messages(lines, records_per_message=RECORDS_A_MESSAGE)
    share = -(-len(messages) // kills)
    running = [await line.begin(**SMALL) for _ in range(2)]
    for program in running:
        await program.until("service_started")
    for number in range(kills):
        await line.send(messages[number * share : (number + 1) * share])
        await _calls_pass(line, dice.randrange(5, 150))
        victim = running.pop(dice.randrange(2))
        victim.signal(signal.SIGKILL)
        assert await line.left() > 0, "killed with nothing left to do"
        assert await victim.ended() == -signal.SIGKILL
        running.append(await line.begin(**SMALL))
        await line.expire(victim)
    await line.idle(seconds_max=240)
    stores = await check(line, lines, faults=[])
    assert len(stores.events) == records
    assert [await program.drained() for program in running] == [0, 0]


async def _calls_pass(line: Line, count: int) -> None:
    """Wait until workers have made so many calls more, while work is left: a moment that depends on what they do."""
    before = line.history.count

    async def enough() -> bool:
        return line.history.count >= before + count

    await line.until(enough)


async def test_eight_kills_while_ten_thousand_records_flow(line: Line) -> None:
    await _killed_again_and_again(line, kills=8, records=10_000, seed=11)


@pytest.mark.faults_all
@pytest.mark.parametrize("seed", [1])
async def test_fifty_kills_while_a_hundred_thousand_records_flow(line: Line, seed: int) -> None:
    await _killed_again_and_again(line, kills=50, records=100_000, seed=seed)
