"""S3 gives or keeps other bytes than it was given."""

from dataclasses import replace
from typing import Any

import pytest

from tests.faults.actions import answered_short, paced, s3_error, stored_otherwise
from tests.faults.calls import Answer, Call, CutError, Forward, Pace
from tests.faults.checker import check
from tests.faults.events import loans
from tests.faults.line import Line

pytestmark = [pytest.mark.stack, pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="session")]


def framed(body: bytes) -> bytes:
    """As a server stores it that does not know aws-chunked bodies."""
    return f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"


async def stored_framed_and_unheard(call: Call, forward: Forward) -> Any:
    """The server stores that, and the connection breaks before its answer arrives."""
    await stored_otherwise(framed)(call, forward)
    raise CutError


async def short_and_unproven(call: Call, forward: Forward) -> Any:
    """Half of an object arrives, looks whole, and has neither checksum nor an ETag that tells: a key encrypts it."""
    answer: Answer = await answered_short(0.5)(call, forward)
    headers = {name: value for name, value in answer.headers.items() if "checksum" not in name.lower()}
    return replace(answer, headers={**headers, "x-amz-server-side-encryption-aws-kms-key-id": "arn:key"})


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


async def test_a_short_answer_that_nothing_proves_short_is_asked_for_again(line: Line) -> None:
    lines = loans(100)
    rule = line.rules.on("GetObject", short_and_unproven, target="^acequia-raw/", times=2)
    await line.send(line.messages(lines, records_per_message=10))
    program = await line.start()
    await line.idle()
    await check(line, lines, faults=[rule])
    assert {one["reason"] for one in program.said("work_failed")} == {
        "s3: a raw file came otherwise than it lies there"
    }


@pytest.mark.parametrize("zone", ["raw", "refined"])
async def test_a_broken_object_that_nobody_heard_of_is_not_announced_when_it_is_found(line: Line, zone: str) -> None:
    lines = loans(100)
    rule = line.rules.on("PutObject", stored_framed_and_unheard, target=f"^acequia-{zone}/.*parquet$")
    await line.send(line.messages(lines, records_per_message=10))
    await line.start()
    await line.idle()
    await check(line, lines, faults=[rule])


@pytest.mark.parametrize("zone", ["raw", "refined"])
async def test_a_broken_object_that_could_not_be_removed_is_not_announced_later(line: Line, zone: str) -> None:
    lines = loans(100)
    rules = [
        line.rules.on("PutObject", stored_otherwise(framed), target=f"^acequia-{zone}/.*parquet$"),
        line.rules.on("DeleteObject", s3_error("SlowDown", 503), target=f"^acequia-{zone}/", times=6),
    ]
    await line.send(line.messages(lines, records_per_message=10))
    await line.start()
    await line.idle()
    await check(line, lines, faults=rules)
