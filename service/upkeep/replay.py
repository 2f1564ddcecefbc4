"""`acequia replay`: raw files of a range of days are refined again, under the definition of now.

One durable effect a file: a notice on the refine queue that says which refined files the new ones take the place of.
Whatever happens afterwards is the layers' (`service/load/commit.py`): the table has the old rows or the new ones.

    dies between two notices    the files before were sent; run it again. A file that is sent twice is refined twice,
                                the later notice wins, and what the earlier one made is removed

So a second run is harmless, and `since` makes it short: files that were replayed since that moment are left out. A
notice is as old as its sending, so of two replays of a file the one that was sent later counts. Files that are on their
way for the first time are replayed as well: what comes of their first notice afterwards is older than the replay and
loads nothing, and the lake does not tell them from files all of whose records were rejected.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from service.core.datasets import Dataset
from service.core.errors import RejectedError, SetupError
from service.core.moments import naive
from service.upkeep.books import Booked, Pace
from service.upkeep.days import Days
from service.upkeep.lake import Made, RawFile
from service.upkeep.tools import Tools

Turn = Literal["replay", "settled"]
"""What a raw file's turn is: to be replayed, or replayed since the moment given."""
Fate = Literal["sent", "settled", "refused"]


@dataclass(frozen=True, slots=True)
class DayPlan:
    """Raw files of one day: those to be replayed, with their bytes and the rows they have now; and those left out."""

    day: date
    files: int
    content_length_bytes: int
    rows: int
    settled: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What a replay would do, and how fast this dataset was loaded of late, if at all."""

    days: Sequence[DayPlan]
    pace: Pace | None

    @property
    def files(self) -> int:
        """Raw files to be replayed."""
        return sum(day.files for day in self.days)

    @property
    def rows(self) -> int:
        """Rows that they have in the lake now."""
        return sum(day.rows for day in self.days)

    def minutes(self, files_minute_max: float) -> tuple[float, float] | None:
        """How long that would take, at the best and at the worst; None where no pace of loading is known.

        Never less than sending takes.
        """
        if self.pace is None:
            return None
        best, worst = self.pace.minutes(self.rows)
        sending = self.files / files_minute_max
        return max(sending, best), max(sending, worst)


@dataclass(frozen=True, slots=True)
class Step:
    """One raw file is through. `why` it was refused, if it was."""

    uri: str
    fate: Fate
    why: str = ""


class Replay:
    """One dataset's raw files of some days. `since` leaves out those that were replayed since that moment."""

    def __init__(self, tools: Tools, dataset: str, days: Days, *, since: datetime | None = None) -> None:
        self._tools = tools
        self._dataset: Dataset = tools.dataset(dataset)
        self._days = days
        self._since = None if since is None else naive(since)

    async def plan(self) -> Plan:
        """What `run` would do now; sends nothing. SetupError where nothing arrived on these days."""
        days = [await self._plan(day) for day in self._days]
        if not any(day.files or day.settled for day in days):
            raise await nothing_there(self._tools, self._dataset, self._days)
        return Plan(days, await self._tools.books(self._dataset).pace(self._tools.clock.now()))

    async def run(self, *, files_minute_max: float) -> AsyncIterator[Step]:
        """Send the replays, no more a minute than that; yields each raw file when it is through.

        Stopping in between leaves what was sent, and nothing else. Raises TransientError where a dependency is down.
        """
        made = await self._tools.lake.refined_files(self._dataset.name, self._days)
        due = self._tools.clock.monotonic()
        for day in self._days:
            booked = await self._tools.books(self._dataset).booked(day)
            for file in await self._tools.lake.raw_files(self._dataset.name, day):
                theirs, there = booked.get(file.batch_id, ()), made.get(file.batch_id, ())
                turn = self._turn(theirs)
                if turn == "replay":
                    await self._tools.clock.sleep(max(0.0, due - self._tools.clock.monotonic()))
                    due = max(due, self._tools.clock.monotonic()) + 60 / files_minute_max
                    yield await self._send(file, theirs, there)
                else:
                    yield Step(file.uri, turn)

    async def _plan(self, day: date) -> DayPlan:
        booked = await self._tools.books(self._dataset).booked(day)
        files = await self._tools.lake.raw_files(self._dataset.name, day)
        turns = [(file, self._turn(booked.get(file.batch_id, ()))) for file in files]
        chosen = [file for file, turn in turns if turn == "replay"]
        return DayPlan(
            day=day,
            files=len(chosen),
            content_length_bytes=sum(file.content_length_bytes for file in chosen),
            rows=sum(one.row_count for file in chosen for one in booked.get(file.batch_id, ()) if one.live),
            settled=sum(turn == "settled" for _, turn in turns),
        )

    def _turn(self, booked: Sequence[Booked]) -> Turn:
        if self._since is None:
            return "replay"
        live = [one.produced_at for one in booked if one.live]
        moments = live or [one.superseded_at for one in booked]
        settled = bool(moments) and all(moment is not None and moment >= self._since for moment in moments)
        return "settled" if settled else "replay"

    async def _send(self, file: RawFile, booked: Sequence[Booked], made: Sequence[Made]) -> Step:
        """Old files are all that lie in the lake, and all that the ledger takes for live."""
        old = {one.uri for one in made} | {one.uri for one in booked if one.live}
        try:
            await self._tools.announce_replay(self._dataset, file, sorted(old), booked)
        except RejectedError as wrong:
            return Step(file.uri, "refused", wrong.sentence)
        return Step(file.uri, "sent")


async def nothing_there(tools: Tools, dataset: Dataset, days: Days) -> SetupError:
    """The sentence for a range without raw files."""
    ever = await tools.lake.has_raw(dataset.name)
    rest = "" if ever else f"; {tools.lake.raw_prefix(dataset.name)} holds nothing at all"
    return SetupError(f"nothing of dataset {dataset.name!r} arrived {_when(days)}{rest}")


def _when(days: Days) -> str:
    return f"on {days}" if days.first == days.last else f"from {days}"
