"""What SNS would refuse is altered before it is sent, and what it refuses all the same is judged by its code."""

import asyncio
from typing import Any

import pytest
from botocore.exceptions import ClientError

from service.aws.sns import SnsTopic
from service.core.errors import AbsentError, AcequiaError, SetupError, TransientError
from tests.fakes.time import run_virtual

ARN = "arn:aws:sns:eu-central-1:123456789012:alarms"
TEXT_BYTES_MAX = 256 * 1024


class Client:
    """Takes every message, or answers with an error's code."""

    def __init__(self, code: str | None = None) -> None:
        self._code = code
        self.published: list[dict[str, str]] = []

    async def publish(self, **given: Any) -> None:
        self.published.append(given)
        if self._code is not None:
            raise ClientError({"Error": {"Code": self._code, "Message": "about 123456789012"}}, "Publish")


def sent(subject: str, text: str) -> tuple[str, str]:
    client = Client()
    asyncio.run(SnsTopic(client, ARN).publish(subject, text))
    [given] = client.published
    assert given["TopicArn"] == ARN
    return given["Subject"], given["Message"]


@pytest.mark.parametrize(
    ("subject", "wanted"),
    [
        ("acequia: 3 of loan_events failed", "acequia: 3 of loan_events failed"),
        ("x" * 100, "x" * 99),
        ("two\r\nlines\tand  a tab", "two lines and a tab"),
        ("  from the margin ", "from the margin"),
        ("señal 名字 \U0001f600", "se?al ?? ?"),
        ("a bell \x07 and \x7f", "a bell ? and ?"),
        ("half a pair \ud83d", "half a pair ?"),
    ],
)
def test_a_subject_is_one_line_of_ascii_less_than_a_hundred_characters_long(subject: str, wanted: str) -> None:
    assert sent(subject, "text") == (wanted, "text")


@pytest.mark.parametrize("letter", ["x", "ж", "名", "\U0001f600"])
@pytest.mark.parametrize("shift", ["", "1", "12", "123"])
def test_a_text_that_is_too_long_is_cut_between_two_letters_and_shows_it(letter: str, shift: str) -> None:
    text = shift + letter * TEXT_BYTES_MAX + "the end"
    _, found = sent("subject", text)
    assert TEXT_BYTES_MAX - 4 < len(found.encode()) <= TEXT_BYTES_MAX
    assert found.endswith("…\n")
    assert text.startswith(found.removesuffix("…\n"))


def test_a_text_of_the_greatest_size_is_sent_whole() -> None:
    text = "ж" * (TEXT_BYTES_MAX // 2)
    assert sent("subject", text) == ("subject", text)


def test_half_a_pair_in_a_text_does_not_stop_the_mail() -> None:
    assert sent("subject", "half a pair \ud83d, 名") == ("subject", "half a pair ?, 名")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("NotFound", AbsentError),
        ("AuthorizationError", SetupError),
        ("InvalidSecurity", SetupError),
        ("InvalidClientTokenId", SetupError),
        ("InvalidParameter", SetupError),
        ("ParameterValueInvalid", SetupError),
        ("ValidationException", SetupError),
        ("KMSAccessDenied", SetupError),
        ("KMSDisabled", SetupError),
        ("KMSInvalidState", SetupError),
        ("KMSNotFound", SetupError),
        ("KMSOptInRequired", SetupError),
        ("KMSThrottling", TransientError),
        ("Throttling", TransientError),
        ("InternalError", TransientError),
        ("a code of the future", TransientError),
    ],
)
def test_a_refusal_is_judged_by_its_code_and_names_the_topic_alone(code: str, kind: type[AcequiaError]) -> None:
    with pytest.raises(AcequiaError) as raised:
        asyncio.run(SnsTopic(Client(code), ARN).publish("subject", "text"))
    assert type(raised.value) is kind
    assert "alarms" in str(raised.value)
    assert "123456789012" not in str(raised.value)


class Silent:
    """Never answers."""

    async def publish(self, **_: Any) -> None:
        await asyncio.Event().wait()


def test_a_topic_that_never_answers_is_away() -> None:
    with pytest.raises(TransientError, match=r"could not publish to alarms \(TimeoutError\)"):
        run_virtual(SnsTopic(Silent(), ARN).publish("subject", "text"))
