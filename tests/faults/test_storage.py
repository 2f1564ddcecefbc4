"""S3 gives or keeps other bytes than it was given."""

import pytest

from tests.faults.actions import answered_short, paced, stored_otherwise
from tests.faults.calls import Pace
from tests.faults.checker import check
from tests.faults.events import loans
from tests.faults.line import Line

pytestmark = [pytest.mark.stack, pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="session")]


def framed(body: bytes) -> bytes:
    """As a server stores it that does not know aws-chunked bodies."""
    return f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"


async def test_an_answer_that_breaks_off_is_asked_for_again(line: Line) -> None:
    lines = loans(100)
    broken = Pace(500, 0, breaks_after_bytes=1000)
    rule = line.rules.on("GetObject", paced(broken), target="^acequia-raw/", times=2)
    await line.send(line.messages(lines, records_per_message=10))
    await line.start()
    await line.idle()
    await check(line, lines, faults=[rule])


async def test_an_answer_that_is_short_and_looks_whole_is_asked_for_again(line: Line) -> None:
    lines = loans(100)
    rule = line.rules.on("GetObject", answered_short(0.5), target="^acequia-raw/")
    await line.send(line.messages(lines, records_per_message=10))
    await line.start()
    await line.idle()
    await check(line, lines, faults=[rule])


@pytest.mark.parametrize("zone", ["raw", "refined"])
async def test_an_object_that_is_stored_otherwise_is_not_announced(line: Line, zone: str) -> None:
    lines = loans(100)
    rule = line.rules.on("PutObject", stored_otherwise(framed), target=f"^acequia-{zone}/.*parquet$")
    await line.send(line.messages(lines, records_per_message=10))
    await line.start()
    await line.idle()
    await check(line, lines, faults=[rule])
