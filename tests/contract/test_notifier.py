"""The `Notifier` port, on the fake and on SNS.

AWS differs from the emulator, which checks neither a subject's length nor its characters: what is sent is weighed in
`tests/unit/aws/test_sns.py`. Both bound the text.
"""

import pytest
import pytest_asyncio

from service.aws.sns import SnsTopic
from service.core.errors import SetupError, TransientError
from service.local.ports import HOST, free_port
from service.local.provision import REGION
from tests.contract.places import Place, RealPlace, Topic, client_of

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(60)]

SUBJECT = "".join(map(chr, range(ord("!"), ord("~") + 1))) + " abc."
TEXT_BYTES_MAX = 256 * 1024


@pytest_asyncio.fixture(loop_scope="session")
async def topic(place: Place) -> Topic:
    """A topic of the test's own."""
    return await place.topic()


@pytest.mark.parametrize(
    ("subject", "text"),
    [
        ("acequia: 12 records failed", "Two lines,\nand ñ 名字 \U0001f600 <&'\"\\> {} %20 +\t.\n"),
        (SUBJECT, "x"),
        ("the longest text", "ж" * (TEXT_BYTES_MAX // 2)),
    ],
    ids=["a mail", "the longest subject", "the longest text"],
)
async def test_a_mail_arrives_as_it_was_published(topic: Topic, subject: str, text: str) -> None:
    await topic.notifier.publish(subject, text)
    assert await topic.mail() == (subject, text)


@pytest.mark.stack
async def test_a_topic_that_does_not_exist_is_an_operators_matter(real: RealPlace) -> None:
    absent = SnsTopic(real.sns, f"arn:aws:sns:{REGION}:000000000000:absent")
    with pytest.raises(SetupError, match="sns: the topic absent does not exist in this account and region"):
        await absent.publish("a subject", "a text")


async def test_a_topic_that_nobody_answers_for_is_away() -> None:
    async with client_of("sns", f"http://{HOST}:{free_port(0)}") as client:
        topic = SnsTopic(client, f"arn:aws:sns:{REGION}:000000000000:alarms")
        with pytest.raises(TransientError, match="sns: could not publish to alarms"):
            await topic.publish("a subject", "a text")
