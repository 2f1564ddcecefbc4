"""What is noted of messages that people send back: which message each of them was when it came first."""

import json
from collections.abc import Sequence
from dataclasses import replace

from service.core.dead_letter import MARKER
from service.core.marks import Mark
from service.core.model import Original, Outgoing
from tests.fakes.queue import EPOCH
from tests.simulation.producers import Sent
from tests.simulation.run import Run


def sent_back(run: Run, message_ids: Sequence[str]) -> None:
    """Those messages of the records queue came from people."""
    for message_id in message_ids:
        outgoing = run.world.queues["records"].sent[message_id]
        mark = mark_in(outgoing)
        run.marks[message_id] = mark
        run.returned[message_id] = replace(first_of(run, mark.origin), outgoing=outgoing)


def mark_in(outgoing: Outgoing) -> Mark:
    """What stands on a message that was sent back."""
    mark = Mark.of(Original("", EPOCH, outgoing.attributes, outgoing.body))
    assert mark is not None, f"no mark of ours: {outgoing.attributes}"
    return mark


def first_of(run: Run, origin: str) -> Sent:
    """What is known about a message by the id with which it came first; what no layer has sent holds nothing good."""
    if origin in run.strays:
        _, outgoing = run.strays[origin]
        return Sent(0.0, None, outgoing, (None,))
    if origin in run.sent:
        return run.sent[origin]
    body = run.world.queues["records"].sent[origin].body  # somebody has moved it before: its body tells which it was
    while MARKER in body:
        body = json.loads(body)["original"]["body"]
    return next(sent for sent in run.sent.values() if sent.outgoing.body == body)
