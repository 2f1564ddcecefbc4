"""The `Notifier` port on an SNS topic.

A mail must come through: what SNS would refuse in a subject or a text is altered rather than sent in vain again and
again. When an answer is lost the SDK tries again, and subscribers may get the same mail twice.
"""

import asyncio

from botocore.exceptions import ClientError

from service.aws.clients import AwsClient
from service.aws.faults import aws_faults, code_of
from service.core.errors import AbsentError, SetupError

CALL_SECONDS_MAX = 60
SUBJECT_CHARACTERS_MAX = 99
"""AWS: Publish. Subjects are "less than 100 characters long"; mail takes ASCII, without control characters."""
TEXT_BYTES_MAX = 256 * 1024
"""AWS: Publish, unless a topic's MaximumMessageSize says otherwise."""
CUT = "…\n"
MISSING_TOPIC = {"NotFound"}
FORBIDDEN = {"AuthorizationError", "InvalidSecurity"}
REFUSED = {
    "InvalidParameter",
    "ParameterValueInvalid",
    "ValidationException",
    "KMSAccessDenied",
    "KMSDisabled",
    "KMSInvalidState",
    "KMSNotFound",
    "KMSOptInRequired",
}
"""What no second try will change: another region's ARN, say, or a key that the topic is encrypted with."""


class SnsTopic:
    """One topic; whoever should be told subscribes to it."""

    def __init__(self, client: AwsClient, arn: str) -> None:
        self._client = client
        self._arn = arn
        self._name = arn.rpartition(":")[2]

    async def publish(self, subject: str, text: str) -> None:
        """Tell all subscribers; SNS has the message when this returns, and delivers it in its own time."""
        with aws_faults("sns", f"publish to {self._name}"):
            async with asyncio.timeout(CALL_SECONDS_MAX):
                try:
                    await self._client.publish(TopicArn=self._arn, Subject=_subject(subject), Message=_text(text))
                except ClientError as wrong:
                    self._refused(code_of(wrong))
                    raise

    def _refused(self, code: str) -> None:
        if code in MISSING_TOPIC:
            raise AbsentError(f"sns: the topic {self._name} does not exist in this account and region")
        if code in FORBIDDEN:
            raise SetupError(f"sns: not allowed to publish to {self._name} ({code}): check the task role's policy")
        if code in REFUSED:
            raise SetupError(f"sns: could not publish to {self._name}: check the topic, its ARN and its key ({code})")


def _subject(subject: str) -> str:
    words = " ".join(subject.split()).encode("ascii", "replace").decode()
    return "".join(letter if letter.isprintable() else "?" for letter in words)[:SUBJECT_CHARACTERS_MAX]


def _text(text: str) -> str:
    """Cut between two characters. A lone half of a surrogate pair, which UTF-8 has no bytes for, becomes `?`."""
    written = text.encode("utf-8", "replace")
    if len(written) <= TEXT_BYTES_MAX:
        return written.decode()
    return written[: TEXT_BYTES_MAX - len(CUT.encode())].decode("utf-8", "ignore") + CUT
