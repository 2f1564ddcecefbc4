"""What replay and reconcile work with. The commands make it from the settings; tests make it from fakes."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from service.core.datasets import Dataset
from service.core.errors import RejectedError, SetupError
from service.core.errors_dataset import ERRORS
from service.core.model import Outgoing
from service.core.ports import Clock, ObjectStore, Queue, Threads, Warehouse
from service.core.zones import Zone
from service.upkeep.books import Booked, Books, Sql, latest
from service.upkeep.lake import Lake, RawFile
from service.upkeep.notices import Read, raw_notice, replay_notice

IN_FLIGHT = timedelta(minutes=30)
"""A file that is younger may still be on its way: batches wait a minute in each layer, and outages are waited out."""


@dataclass(frozen=True, slots=True)
class Held:
    """What a raw file holds: message ids in order, and for each message how many records."""

    message_ids: Sequence[str]
    records: Sequence[int]


Count = Callable[[bytes], Held]
"""Opens a raw file as refine does. Work for a thread; raises RejectedError (`bad_file`) where nobody can open it."""


@dataclass(frozen=True, slots=True)
class Tools:
    """`dead` are the layers' dead-letter queues by layer: reconcile asks how full they are."""

    datasets: Mapping[str, Dataset]
    store: ObjectStore
    raw: Zone
    refined: Zone
    errors: Zone
    warehouse: Warehouse
    sql: Sql
    refine_queue: Queue
    load_queue: Queue
    dead: Mapping[str, Queue]
    count: Count
    threads: Threads
    clock: Clock

    @property
    def lake(self) -> Lake:
        """The zones of the lake."""
        return Lake(self.store, self.raw, self.refined, self.errors)

    def dataset(self, name: str) -> Dataset:
        """A dataset by name; SetupError names those that there are.

        The errors dataset has no raw files, so there is nothing to refine again, and no sum that could be done.
        """
        if name == ERRORS.name:
            raise SetupError(
                f"--dataset {ERRORS.name}: error files are made of dead letters, not of raw files. What load refused "
                f"of them goes back by: acequia reprocess run --dataset {ERRORS.name}"
            )
        if name not in self.datasets:
            raise SetupError(f"--dataset {name!r} is not defined; there are {', '.join(sorted(self.datasets))}")
        return self.datasets[name]

    def books(self, dataset: Dataset) -> Books:
        """The dataset's ledger and table."""
        return Books(dataset, self.sql, self.warehouse)

    async def read(self, uri: str) -> Read:
        """An object; RejectedError where nothing lies there any more."""
        found = await self.store.read(uri)
        if found is None:
            raise RejectedError("missing_object", "it is gone")
        return Read(*found)

    async def announce_raw(self, dataset: Dataset, file: RawFile) -> None:
        """Send a raw file's notice to the refine queue once more."""
        read = await self.read(file.uri)
        notice = await self.threads.run(raw_notice, dataset, self.raw.name, file, read, self.clock.now())
        await self.refine_queue.send([Outgoing(notice.to_json())])

    async def announce_replay(
        self, dataset: Dataset, file: RawFile, old: Sequence[str], booked: Iterable[Booked]
    ) -> None:
        """Have a raw file refined again, in the place of these refined files.

        Of two words about a raw file the later counts, so this one is later than all that the ledger has of it, also
        where the clock of this machine is behind.
        """
        read = await self.read(file.uri)
        now, before = self.clock.now(), latest(booked)
        moment = now if before is None else max(now, before + timedelta(microseconds=1))
        notice = await self.threads.run(raw_notice, dataset, self.raw.name, file, read, moment)
        await self.refine_queue.send([Outgoing(replay_notice(notice, old).to_json())])
