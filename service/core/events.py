"""Everything that telemetry is told, one frozen record a kind: this file is the catalogue.

An event is emitted once a batch, never once a record, and holds no key, body or message id.
"""

from dataclasses import dataclass
from typing import Literal

from service.core.batching import Reason
from service.core.errors import Code


@dataclass(frozen=True, slots=True)
class MessagesReceived:
    """A poll brought messages. `age_seconds` is that of the oldest, from its sending."""

    layer: str
    messages: int
    body_bytes: int
    age_seconds: float


@dataclass(frozen=True, slots=True)
class QueueLooked:
    """How many messages the layer's queue holds, all processes together, about."""

    layer: str
    waiting: int
    in_flight: int


@dataclass(frozen=True, slots=True)
class QueueEmpty:
    """A poll brought nothing: no message waits that is older than the poll."""

    layer: str


@dataclass(frozen=True, slots=True)
class QueueCrowded:
    """The queue hands out nothing although it holds a backlog: too much is in flight, so batches close sooner."""

    layer: str
    waiting: int
    in_flight: int


@dataclass(frozen=True, slots=True)
class BatchClosed:
    """A batch was sealed, and why."""

    layer: str
    dataset: str
    reason: Reason
    messages: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class BatchFinished:
    """A batch's messages were settled after its durable effects."""

    layer: str
    dataset: str
    messages: int
    seconds: float


@dataclass(frozen=True, slots=True)
class BatchLeft:
    """A batch would not end before the deadline of a stop; its messages are given back, and its work is repeated."""

    layer: str
    dataset: str
    messages: int


@dataclass(frozen=True, slots=True)
class FileLanded:
    """A raw object is stored."""

    dataset: str
    messages: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class FileRefined:
    """A raw object's records were refined: `records` is what it held, however often it was delivered."""

    dataset: str
    records: int
    refined: int
    rejected: int
    files: int
    size_bytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class RecordsRejected:
    """Records or messages went to dead letters."""

    layer: str
    dataset: str
    code: Code
    records: int


@dataclass(frozen=True, slots=True)
class GroupLoaded:
    """One COPY was committed. `known_files` were in the ledger already and were left out."""

    dataset: str
    files: int
    known_files: int
    rows: int
    inserted: int
    replaced: int
    duplicate: int
    seconds: float


@dataclass(frozen=True, slots=True)
class LoadersMet:
    """A load transaction waited for the ledger's lock: another loader had it, or somebody else holds it."""

    dataset: str
    wait_seconds: float


@dataclass(frozen=True, slots=True)
class LettersQuarantined:
    """Dead letters became error rows. Those about error files themselves made none, so that there is no loop."""

    layer: str
    letters: int
    records: int
    about_errors: int


@dataclass(frozen=True, slots=True)
class MailSent:
    """A mail went out, with so many fingerprints that are new, that fail on, and that are resolved."""

    new: int
    more: int
    resolved: int


@dataclass(frozen=True, slots=True)
class MailFailed:
    """SNS, or the store with what was mailed, is down or not set up; the mail waits, the layers go on."""

    kind: Literal["transient", "setup"]
    reason: str
    wait_seconds: float


@dataclass(frozen=True, slots=True)
class RoundLooked:
    """What became of a round of reprocessing so far; `resolved` error rows say so now."""

    round_id: str
    resolved: int
    passed: int
    failed: int
    waiting: int
    over: bool


@dataclass(frozen=True, slots=True)
class ResolveFailed:
    """The store or the warehouse is down, or not set up: rounds are looked at again later."""

    kind: Literal["transient", "setup"]
    reason: str
    wait_seconds: float


@dataclass(frozen=True, slots=True)
class WorkFailed:
    """A layer's work met a dependency that is down, or a fault of set-up; it waits and tries the same work again."""

    layer: str
    kind: Literal["transient", "setup"]
    reason: str
    wait_seconds: float


@dataclass(frozen=True, slots=True)
class LayerPaused:
    """A layer stopped receiving because of a dependency or because an operator must act."""

    layer: str
    reason: str


@dataclass(frozen=True, slots=True)
class LayerResumed:
    """A layer receives again."""

    layer: str


@dataclass(frozen=True, slots=True)
class DatasetPaused:
    """So much of a dataset is rejected that something else than its data is wrong; it waits, the others go on."""

    layer: str
    dataset: str
    reason: str


@dataclass(frozen=True, slots=True)
class DatasetResumed:
    """What was tried of a paused dataset is mostly good again."""

    layer: str
    dataset: str


@dataclass(frozen=True, slots=True)
class MessagesDeferred:
    """Messages of a paused dataset were sent again with a delay."""

    layer: str
    dataset: str
    messages: int


@dataclass(frozen=True, slots=True)
class MessagesReleased:
    """Messages were given back to their queue undone."""

    layer: str
    messages: int


@dataclass(frozen=True, slots=True)
class SettlementFailed:
    """The queue did not take a deletion or an extension; those messages will come again and do no harm."""

    layer: str
    action: str
    messages: int


@dataclass(frozen=True, slots=True)
class ClaimsExpired:
    """Messages were held longer than their visibility; another process may have them, so they are let go."""

    layer: str
    messages: int


@dataclass(frozen=True, slots=True)
class ShieldFailed:
    """ECS did not take the request to spare this task; the work goes on, and is safe all the same."""

    reason: str


@dataclass(frozen=True, slots=True)
class ServiceStarted:
    """All layers receive. `http_port` serves probes and metrics."""

    layers: tuple[str, ...]
    http_port: int


@dataclass(frozen=True, slots=True)
class ServiceDraining:
    """Receiving stops; what is held is sealed and landed."""

    cause: str
    drain_seconds_max: float


@dataclass(frozen=True, slots=True)
class ServiceStopped:
    """The process is about to exit."""

    exit_code: int


Event = (
    MessagesReceived
    | QueueLooked
    | QueueEmpty
    | QueueCrowded
    | BatchClosed
    | BatchFinished
    | BatchLeft
    | FileLanded
    | FileRefined
    | RecordsRejected
    | GroupLoaded
    | LoadersMet
    | LettersQuarantined
    | MailSent
    | MailFailed
    | RoundLooked
    | ResolveFailed
    | WorkFailed
    | LayerPaused
    | LayerResumed
    | DatasetPaused
    | DatasetResumed
    | MessagesDeferred
    | MessagesReleased
    | SettlementFailed
    | ClaimsExpired
    | ShieldFailed
    | ServiceStarted
    | ServiceDraining
    | ServiceStopped
)
