"""What a run is: a plan, the world that it happened to, and the account of everything that happened."""

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from service.core.datasets import Dataset
from service.core.marks import Mark
from service.core.model import Outgoing
from service.core.zones import Zone, refined_place
from service.load.ledger import Entry
from service.refine.execute import Judged
from tests.fakes.world import World
from tests.simulation.faults import Fault
from tests.simulation.mail import all_told
from tests.simulation.plan import Plan
from tests.simulation.process import Process
from tests.simulation.producers import REFUSED_AMOUNT, Sent
from tests.simulation.setups import Setup
from tests.simulation.weather import Weather

if TYPE_CHECKING:
    from tests.simulation.people import People

INTERRUPTING = ("kill", "cancel", "pause", "stop", "drain", "hang", "outage")
REFINED = Zone.parse("refined", "s3://refined")


class BrokenError(Exception):
    """The service does not do what it promises; the sentence says which promise, and what was seen."""


@dataclass
class Run:
    """What became of a plan."""

    plan: Plan
    setup: Setup
    datasets: dict[str, Dataset]
    world: World
    weather: Weather
    sent: dict[str, Sent] = field(default_factory=dict)
    """By message id, as the producers sent them."""
    marks: dict[str, Mark] = field(default_factory=dict)
    """By message id: what stands on messages that somebody sent back."""
    history: list[str] = field(default_factory=list)
    processes: list[Process] = field(default_factory=list)
    touched: set[str] = field(default_factory=set)
    """Every address that the service asked the store about."""
    objects: dict[str, bytes] = field(default_factory=dict)
    """Everything that ever lay in the store."""
    judged: dict[tuple[str, str], Judged] = field(default_factory=dict)
    removed_live: list[str] = field(default_factory=list)
    """Refined files that were removed while a ledger said that their rows are in the table."""
    quiet: bool = False
    """Whether everything was settled when faults stopped."""
    mended: bool = False
    """Whether the warehouse takes by now what it refused."""
    mails: list[tuple[float, str]] = field(default_factory=list)
    """What SNS was asked to send, and at which second."""
    arrived: list[tuple[float, str]] = field(default_factory=list)
    """What it sent, and at which second."""
    versions: dict[tuple[str, str], bytes] = field(default_factory=dict)
    """By address and etag: what lay where objects are replaced."""
    strays: dict[str, tuple[str, Outgoing]] = field(default_factory=dict)
    """By message id: what no layer has sent to a dead-letter queue, and to which."""
    returned: dict[str, Sent] = field(default_factory=dict)
    """By message id: what people sent back by a command."""
    definitions: dict[str, list[str]] = field(default_factory=dict)
    """By dataset: the hash of each definition that it ever had."""
    people: "People | None" = None
    people_replayed: bool = False
    listeners: list[Callable[[str, Sequence[str]], None]] = field(default_factory=list)
    """Who hears of each effect: what was done, and to what."""
    calm_from: dict[str, int] = field(default_factory=dict)
    """How many messages each queue had seen when all was calm and the last ones came, if they came."""

    @property
    def fired(self) -> list[Fault]:
        """The faults that happened."""
        return self.weather.fired

    @property
    def interruptions(self) -> int:
        """How often something may have come between a mail and the note that it went out."""
        return sum(
            fault.kind.startswith(INTERRUPTING) or (fault.point == "sns publish" and fault.kind in ("lost", "late"))
            for fault in self.fired
        )

    @property
    def journal(self) -> str:
        """All that happened, and what was left in the end."""
        lying = sorted(self.world.store.objects.items())
        objects = [f"{uri} {hashlib.sha256(body).hexdigest()}" for uri, body in lying]
        rows = [f"{name} {row!r}" for name in self.datasets for row in self.world.warehouse.rows(name)]
        entries = [repr(entry) for name in self.datasets for entry in self.world.warehouse.ledger_rows(name)]
        return "\n".join([*self.history, *objects, *rows, *entries])

    @property
    def flowed(self) -> bool:
        """Whether no queue holds anything that a layer takes."""
        names = [name for name in self.world.queues if name.endswith("-dlq") and self.plan.quarantined]
        return self.world.settled() and not any(len(self.world.queues[name]) for name in names)

    @property
    def settled(self) -> bool:
        """Whether nothing is left to do, and nothing to tell."""
        if not self.flowed:
            return False
        return not self.plan.quarantined or all_told(self.world.store.objects, self.setup.calm.mails_hour_max)

    @property
    def replayed(self) -> bool:
        """Whether somebody asked for a replay."""
        return self.people_replayed or any(fault.kind == "replay" for fault in self.fired)

    def refuses(self, row: Mapping[str, object]) -> bool:
        """Whether the warehouse takes no such row until it is mended."""
        spoilt = self.setup.spoils is not None and row.get("code") == self.setup.spoils
        return spoilt or row.get("amount") == REFUSED_AMOUNT

    def sent_of(self, message_id: str) -> Sent:
        """What is known of a message of the records queue."""
        return self.sent[message_id] if message_id in self.sent else self.returned[message_id]

    def mailed(self, subject: str, text: str) -> None:
        """SNS is asked to send that."""
        self.mails.append((asyncio.get_running_loop().time(), f"{subject}\n{text}"))

    def note(self, what: str) -> None:
        """Write down what happened now."""
        self.history.append(f"{asyncio.get_running_loop().time():.6f} {what}")

    def effect(self, effect: str) -> None:
        """Write down what was done to the stores."""
        details = self.world.journal.details[-1]
        self.note(" ".join([effect, *details]))
        for listener in self.listeners:
            listener(effect, details)
        if effect == "sns publish":
            self.arrived.append((asyncio.get_running_loop().time(), self.world.notifier.mails[-1][1]))
        if effect.startswith("put "):
            self.objects.setdefault(details[0], self.world.store.objects[details[0]])
        if effect.startswith("replace "):
            uri, etag = details
            self.versions[uri, etag] = self.world.store.objects[uri]
        if effect.startswith("remove refined "):
            self.removed_live += [uri for uri in details if self._is_live(uri)]

    def _is_live(self, uri: str) -> bool:
        entry = self.world.warehouse.entries(refined_place(REFINED, uri).dataset).get(uri)
        return entry is not None and Entry(*entry).superseded_at is None
