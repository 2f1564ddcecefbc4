"""The values that travel between queues, layers and stores."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

from service.core.batching import Reason

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Attribute:
    """A message attribute as SQS knows it: a type name (`String`, `Number`, `Binary` …) and text or bytes."""

    type: str
    value: str | bytes

    def as_json(self) -> dict[str, str]:
        """For storage; bytes become base64 under another name, so that the way back is exact."""
        if isinstance(self.value, bytes):
            return {"type": self.type, "base64": base64.b64encode(self.value).decode("ascii")}
        return {"type": self.type, "value": self.value}

    @classmethod
    def from_json(cls, stored: Mapping[str, str]) -> "Attribute":
        """The reverse of `as_json`."""
        if "base64" in stored:
            return cls(stored["type"], base64.b64decode(stored["base64"]))
        return cls(stored["type"], stored["value"])


def utf8_bytes(text: str) -> int:
    """How many bytes the text is in UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


@dataclass(frozen=True, slots=True)
class Message:
    """What a queue handed us. `receipt` is ours for this receive only; `sent_at` and `received_at` are UTC."""

    message_id: str
    body: str
    attributes: Mapping[str, Attribute]
    sent_at: datetime
    received_at: datetime
    receive_count: int
    receipt: str

    def text(self, attribute: str) -> str | None:
        """A text attribute's value, or None where it is absent or binary."""
        found = self.attributes.get(attribute)
        return found.value if found is not None and isinstance(found.value, str) else None


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message that we send. SQS hands it out after the delay, which it allows up to 900 seconds."""

    body: str
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    delay_seconds: int = 0


@dataclass(frozen=True, slots=True)
class Sorted(Generic[T]):
    """What a layer makes of a message: the pile it belongs to, its meaning, and what it takes of the limits."""

    key: str
    value: T
    items: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Held(Generic[T]):
    """A message that we hold, with what it means to the layer."""

    message: Message
    value: T


@dataclass(frozen=True, slots=True)
class Batch(Generic[T]):
    """A sealed batch. Its id is fixed now, so that trying again writes the same objects."""

    key: str
    held: Sequence[Held[T]]
    reason: Reason
    sealed_at: datetime
    size_bytes: int
    progress: dict[str, Any] = field(default_factory=dict, compare=False)
    """What the layer has done of it already, in its own terms: a try that fails leaves it to the next one."""

    @property
    def batch_id(self) -> str:
        """Time-ordered, then a hash of the message ids: two processes never share one, a retry always does."""
        digest = hashlib.sha256("\n".join(h.message.message_id for h in self.held).encode()).hexdigest()
        return f"{self.sealed_at:%Y%m%dT%H%M%S}{self.sealed_at.microsecond // 1000:03d}Z-{digest[:16]}"
