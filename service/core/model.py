"""The values that travel between queues, layers and stores."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

from service.core.batching import Reason

T = TypeVar("T")

DATASET_ATTRIBUTE = "dataset"
"""The message attribute that says whose a message is."""


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
        """The reverse of `as_json`; raises ValueError, TypeError or KeyError where it did not write that."""
        if "base64" in stored:
            return cls(stored["type"], base64.b64decode(stored["base64"], validate=True))
        if not isinstance(stored["value"], str):
            raise TypeError
        return cls(stored["type"], stored["value"])

    @property
    def size_bytes(self) -> int:
        """What SQS counts of it beside its name."""
        value = self.value
        return utf8_bytes(self.type) + (len(value) if isinstance(value, bytes) else utf8_bytes(value))


def utf8_bytes(text: str) -> int:
    """How many bytes the text is in UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _size_bytes(body: str, attributes: Mapping[str, Attribute]) -> int:
    """The body, and each attribute's name, type and value."""
    return utf8_bytes(body) + sum(utf8_bytes(name) + one.size_bytes for name, one in attributes.items())


def is_text(text: str) -> bool:
    """Whether it can be written as UTF-8: half a surrogate pair cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


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

    @property
    def size_bytes(self) -> int:
        """What SQS counts of a message's 1 MiB."""
        return _size_bytes(self.body, self.attributes)

    @property
    def is_text(self) -> bool:
        """Whether all its texts can be written as UTF-8. SQS takes no others; JSON could carry them."""
        texts = [self.body, *self.attributes, *(one.value for one in self.attributes.values())]
        return all(isinstance(text, bytes) or text.isascii() or is_text(text) for text in texts)

    def text(self, attribute: str) -> str | None:
        """A text attribute's value, or None where it is absent or binary."""
        found = self.attributes.get(attribute)
        return found.value if found is not None and isinstance(found.value, str) else None


@dataclass(frozen=True, slots=True)
class Original:
    """A message as a dead letter keeps it: all that sending it back needs."""

    message_id: str
    sent_at: datetime
    attributes: Mapping[str, Attribute]
    body: str

    @classmethod
    def of(cls, message: Message) -> "Original":
        """What stays of a message when its receive is over."""
        return cls(message.message_id, message.sent_at, message.attributes, message.body)

    def as_json(self) -> dict[str, Any]:
        """For storage; written as JSON with `ensure_ascii=False`, the way back is exact for any text."""
        return {
            "message_id": self.message_id,
            "sent_at": self.sent_at.isoformat(),
            "attributes": {name: value.as_json() for name, value in self.attributes.items()},
            "body": self.body,
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Original":
        """The reverse of `as_json`; raises ValueError, TypeError or KeyError where it did not write that."""
        if not isinstance(stored["attributes"], dict):
            raise TypeError
        attributes = {name: Attribute.from_json(value) for name, value in stored["attributes"].items()}
        found = cls(stored["message_id"], datetime.fromisoformat(stored["sent_at"]), attributes, stored["body"])
        texts = (found.message_id, found.body, *(one.type for one in attributes.values()))
        if found.sent_at.tzinfo is None or not all(isinstance(text, str) for text in texts):
            raise ValueError("no message has these")
        return found


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message that we send. SQS hands it out after the delay, which it allows up to 900 seconds."""

    body: str
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    delay_seconds: int = 0

    @property
    def size_bytes(self) -> int:
        """What SQS counts of a message's 1 MiB."""
        return _size_bytes(self.body, self.attributes)


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
