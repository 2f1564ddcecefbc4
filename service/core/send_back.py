"""A failed message on its way back to the queue on which it failed: as it was, with a mark."""

import base64
import gzip
import json
from collections.abc import Mapping
from dataclasses import replace

from service.core.dead_letter import MARKER, VERSION
from service.core.errors import RejectedError
from service.core.marks import MARK_ATTRIBUTE, Mark
from service.core.model import DATASET_ATTRIBUTE, Original, Outgoing

ATTRIBUTES_MAX = 10
BYTES_MAX = 1024 * 1024
"""What SQS takes in one message, attributes included (AWS: message quotas)."""


def send_back(original: Original, mark: Mark) -> Outgoing:
    """The message with its mark; body and attributes stay as they were.

    Where ten attributes, a full body or a foreign attribute of the mark's name leave no room, the whole message travels
    in an envelope that every layer opens, its body there as gzip in base64 if it must, with the mark and its own
    `dataset` beside it. Raises RejectedError (`too_large`) where even that is too much.
    """
    marked = {MARK_ATTRIBUTE: mark.attribute()}
    plain = Outgoing(original.body, {**original.attributes, **marked})
    taken = MARK_ATTRIBUTE in original.attributes and Mark.of(original) is None
    if not taken and _fits(plain):
        return plain
    own = {name: value for name, value in original.attributes.items() if name == DATASET_ATTRIBUTE}
    for inner in (original, replace(original, body=_packed(original.body))):
        wrapped = Outgoing(_envelope(inner), {**own, **marked})
        if _fits(wrapped):
            return wrapped
    raise RejectedError("too_large", f"with its mark the message is larger than the {BYTES_MAX} bytes that SQS takes")


def _fits(message: Outgoing) -> bool:
    return len(message.attributes) <= ATTRIBUTES_MAX and message.size_bytes <= BYTES_MAX


def _envelope(original: Original) -> str:
    envelope: Mapping[str, object] = {MARKER: VERSION, "original": original.as_json()}
    return json.dumps(envelope, separators=(",", ":"), ensure_ascii=False)


def _packed(body: str) -> str:
    return base64.b64encode(gzip.compress(body.encode("utf-8", "surrogatepass"), mtime=0)).decode("ascii")
