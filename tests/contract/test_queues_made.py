"""What the one-machine stack makes of queues, asked of the emulator: as the template for AWS has them."""

import json
from typing import Any

import pytest

from service.local.provision import LOAD, RECORDS, REFINE, REPROCESS, create_queues, open_aws
from tests.contract.places import RealPlace

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(60)]

FOURTEEN_DAYS = 14 * 24 * 60 * 60
WORKING = (RECORDS, REFINE, LOAD)


async def attributes(place: RealPlace, name: str) -> dict[str, Any]:
    """All that SQS says of the queue."""
    async with open_aws(place.endpoint) as aws:
        await create_queues(aws)
        url = (await aws.sqs.get_queue_url(QueueName=name))["QueueUrl"]
        return dict((await aws.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"]))["Attributes"])


@pytest.mark.parametrize("name", [*WORKING, *(f"{name}-dlq" for name in WORKING), REPROCESS])
async def test_a_message_may_wait_as_long_as_sqs_keeps_any_and_be_as_large_as_it_takes(
    real: RealPlace, name: str
) -> None:
    found = await attributes(real, name)
    assert int(found["MessageRetentionPeriod"]) == FOURTEEN_DAYS
    assert int(found["MaximumMessageSize"]) == 1024 * 1024


@pytest.mark.parametrize("name", WORKING)
async def test_what_is_received_too_often_moves_behind_its_own_queue(real: RealPlace, name: str) -> None:
    policy = json.loads((await attributes(real, name))["RedrivePolicy"])
    assert policy["deadLetterTargetArn"] == (await attributes(real, f"{name}-dlq"))["QueueArn"]
    assert int(policy["maxReceiveCount"]) == 20


@pytest.mark.parametrize("name", [REPROCESS, *(f"{name}-dlq" for name in WORKING)])
async def test_what_waits_for_people_moves_nowhere(real: RealPlace, name: str) -> None:
    """However often somebody looks at it."""
    assert "RedrivePolicy" not in await attributes(real, name)
