"""A topic of a line's own, with a queue behind it in the place of people."""

import json
from dataclasses import dataclass

from service.aws.sqs import queue_url
from tests.faults.line import Line


@dataclass(frozen=True)
class Topic:
    """Where a worker tells people, and what they were told."""

    arn: str
    line: Line

    async def mails(self) -> list[str]:
        """The subjects of all that came, each once."""
        sqs = self.line.services.aws.sqs
        url = await queue_url(sqs, self.line.queue("mail"))
        given = await sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=600)
        return [json.loads(one["Body"])["Subject"] for one in given.get("Messages", [])]


async def topic(line: Line) -> Topic:
    """Make it. Calls to it meet the line's rules, as those of the service `sns`."""
    aws = line.services.aws
    url = (await aws.sqs.create_queue(QueueName=line.queue("mail")))["QueueUrl"]
    wanted = await aws.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    arn = (await aws.sns.create_topic(Name=line.queue("alerts")))["TopicArn"]
    await aws.sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=wanted["Attributes"]["QueueArn"])
    return Topic(arn, line)
