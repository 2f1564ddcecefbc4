"""What a run is: a plan, the world that it happened to, and the account of everything that happened."""

import asyncio
import hashlib
from dataclasses import dataclass, field

from service.core.datasets import Dataset
from service.core.marks import Mark
from service.core.zones import Zone, refined_place
from service.load.ledger import Entry
from service.refine.execute import Judged
from tests.fakes.world import World
from tests.simulation.faults import Fault
from tests.simulation.plan import Plan
from tests.simulation.process import Process
from tests.simulation.producers import Sent
from tests.simulation.setups import Setup
from tests.simulation.weather import Weather

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
    calm_from: dict[str, int] = field(default_factory=dict)
    """How many messages each queue had seen when all was calm and the last ones came, if they came."""

    @property
    def fired(self) -> list[Fault]:
        """The faults that happened."""
        return self.weather.fired

    @property
    def journal(self) -> str:
        """All that happened, and what was left in the end."""
        lying = sorted(self.world.store.objects.items())
        objects = [f"{uri} {hashlib.sha256(body).hexdigest()}" for uri, body in lying]
        rows = [f"{name} {row!r}" for name in self.datasets for row in self.world.warehouse.rows(name)]
        entries = [repr(entry) for name in self.datasets for entry in self.world.warehouse.ledger_rows(name)]
        return "\n".join([*self.history, *objects, *rows, *entries])

    def note(self, what: str) -> None:
        """Write down what happened now."""
        self.history.append(f"{asyncio.get_running_loop().time():.6f} {what}")

    def effect(self, effect: str) -> None:
        """Write down what was done to the stores."""
        details = self.world.journal.details[-1]
        self.note(" ".join([effect, *details]))
        if effect.startswith("put "):
            self.objects.setdefault(details[0], self.world.store.objects[details[0]])
        if effect.startswith("remove refined "):
            self.removed_live += [uri for uri in details if self._is_live(uri)]

    def _is_live(self, uri: str) -> bool:
        entry = self.world.warehouse.entries(refined_place(REFINED, uri).dataset).get(uri)
        return entry is not None and Entry(*entry).superseded_at is None
