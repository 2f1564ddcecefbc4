"""`acequia reconcile`: does it add up? Promise 7, computed from the stores alone, by day of arrival.

Side by side: messages and records in raw files (opened as refine opens them), rows of refined files, rejected records
of the errors dataset, rows of the ledger, rows of the table. Each raw file's differences are explained or flagged.

The lake is read before the ledger and the table, and what seems to be gone is looked for once more, so that work that
goes on meanwhile is not taken for a fault. In memory: the names of the days' refined files (some 600 bytes each), their
rejected records (200 bytes each), one raw file or the refined files of one, and of one day the files and 12 bytes a
message.
"""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from service.core.datasets import Dataset
from service.core.errors import RejectedError
from service.core.zones import batch_of
from service.upkeep.books import Booked, DayBooks
from service.upkeep.days import Days
from service.upkeep.explain import Facts, Finding, Output, Rules, bounded, explain
from service.upkeep.lake import ByBatch, Made, RawFile
from service.upkeep.messages import Messages, counted
from service.upkeep.notices import row_count
from service.upkeep.refinings import rows_again
from service.upkeep.rejected import Rejections, rejections
from service.upkeep.replay import nothing_there
from service.upkeep.tools import Tools

REPLACING_DAYS = timedelta(days=90)
"""A record that arrived so much before another, and was refined after it, may still be its higher version."""


@dataclass(frozen=True, slots=True)
class Figures:
    """One day, or several together. Of refined files and of the ledger: those whose rows count.

    `brought` is what the ledger says stands in the table: inserted + replaced.
    """

    raw_files: int = 0
    messages: int = 0
    messages_distinct: int = 0
    records: int = 0
    records_distinct: int = 0
    refined_files: int = 0
    refined_rows: int = 0
    rejected: int = 0
    sent_back: int = 0
    inserted: int = 0
    duplicate: int = 0
    replaced: int = 0
    table_rows: int = 0

    @property
    def loaded(self) -> int:
        """Rows that the ledger knows."""
        return self.inserted + self.duplicate + self.replaced

    @property
    def brought(self) -> int:
        """Rows that should stand in the table."""
        return self.inserted + self.replaced


@dataclass(frozen=True, slots=True)
class Day:
    """What a day's figures are, and every difference in them."""

    day: date
    figures: Figures
    findings: Sequence[Finding]


@dataclass(frozen=True, slots=True)
class _Count:
    """What the raw files of a day hold: records by file, and messages."""

    records: dict[str, int]
    messages: int
    known: Messages


class Reconcile:
    """One dataset, some days."""

    def __init__(self, tools: Tools, dataset: str, days: Days, *, in_flight: timedelta) -> None:
        self._tools = tools
        self._dataset: Dataset = tools.dataset(dataset)
        self._days = days
        self._in_flight = in_flight
        self.whole_files = 0
        """Files that refine or load rejected whole, not yet mended, once `run` has begun; nobody says which files."""

    async def run(self) -> AsyncIterator[Day]:
        """One day after the other. SetupError, after the last, where nothing at all was found on them."""
        made = await self._tools.lake.refined_files(self._dataset.name, self._days)
        rejected = await rejections(self._tools, self._dataset.name, self._days)
        self.whole_files = rejected.whole_files
        found, replaced = False, None
        for day in self._days:
            one = await self._day(day, made, rejected)
            given_way = sum(finding.count for finding in one.findings if finding.kind == "outranked")
            if given_way:
                if replaced is None:
                    replaced = await self._replaced()
                one = replace(one, findings=[*bounded(one.findings, replaced)])
                replaced = max(0, replaced - given_way)
            found = found or one.figures != Figures()
            yield one
        if not found:
            raise await nothing_there(self._tools, self._dataset, self._days)

    async def _replaced(self) -> int:
        """Rows that took the place of others, of all that may have outranked a row of these days."""
        since = self._days.first - REPLACING_DAYS
        return await self._tools.books(self._dataset).replaced(since, self._tools.clock.now().date())

    async def letters(self) -> dict[str, int]:
        """How many dead letters wait for the quarantine layer, about, by layer, of all datasets together."""
        depths = {layer: await queue.depth() for layer, queue in self._tools.dead.items()}
        return {layer: depth.waiting + depth.in_flight for layer, depth in depths.items()}

    async def _day(self, day: date, made: ByBatch, rejected: Rejections) -> Day:
        files = await self._tools.lake.raw_files(self._dataset.name, day)
        count = await self._count(files)
        prefix = self._tools.lake.raw_prefix(self._dataset.name, day)
        books = await self._tools.books(self._dataset).day(day, prefix)
        outputs = await self._outputs(day, made, books)
        raw = {file.uri: file for file in files}
        unrefined = [file.uri for file in files if file.batch_id not in outputs and file.uri in count.records]
        refined = {file.uri for file in files if file.batch_id in outputs or rejected.of(file.uri, None).waiting}
        elsewhere = await self._tools.threads.run(count.known.elsewhere, unrefined, refined)
        facts = []
        for uri in _raw_uris(raw, outputs, books, prefix):
            made_of_it = outputs.get(batch_of(uri), ())
            of_it = rejected.of(uri, _replayed_at(made_of_it))
            told = Facts(
                uri=uri,
                raw=raw.get(uri),
                records=count.records.get(uri),
                landed_elsewhere=uri in elsewhere,
                outputs=made_of_it,
                rejected=of_it,
                table_rows=books.table_rows.get(uri, 0),
                again=await rows_again(self._tools, made_of_it, of_it.mended),
            )
            facts.append(told)
        rules = Rules(self._tools.clock.now(), self._in_flight, versioned=self._dataset.version is not None)
        findings = [finding for one in facts for finding in explain(one, rules)]
        findings.extend(Finding("booked_twice", None, 1, [uri]) for uri in _again(books))
        if books.twice and self._dataset.duplicate_window_days is None:
            findings.append(Finding("twice", None, books.twice, [prefix]))
        messages, records = await self._tools.threads.run(count.known.distinct)
        return Day(day, _figures(facts, count, messages, records), findings)

    async def _count(self, files: Sequence[RawFile]) -> _Count:
        count = _Count({}, 0, Messages())
        messages = 0
        for file in files:
            try:
                read = await self._tools.read(file.uri)
                one = await self._tools.threads.run(counted, read.body, self._tools.count)
            except RejectedError:
                continue
            count.records[file.uri] = one.records
            count.known.add(file.uri, one)
            messages += one.messages
        return _Count(count.records, messages, count.known)

    async def _outputs(self, day: date, made: ByBatch, books: DayBooks) -> dict[str, list[Output]]:
        """Every refined file of the day's batches, by batch."""
        found: dict[str, list[Output]] = {}
        there = {one.uri: one for batch, ones in made.items() if Days(day, day).hold(batch) for one in ones}
        booked = {one.uri: one for ones in books.booked.values() for one in ones}
        for uri in sorted({*there, *booked}):
            output = await self._output(uri, there.get(uri), booked.get(uri))
            if output is not None:
                found.setdefault(batch_of(uri), []).append(output)
        return found

    async def _output(self, uri: str, made: Made | None, booked: Booked | None) -> Output | None:
        """What the ledger counted is believed of an object of the same size; else its footer is read.

        A ledger that was restored in another region names files of the first one's zone: nobody there may ask for them.
        """
        if made is None and booked is not None and booked.live and self._tools.refined.holds(uri):
            stored = await self._tools.store.describe(uri)  # stored after the lake was listed, it is no loss
            if stored is not None:
                made = Made(uri, batch_of(uri), stored.content_length_bytes, self._tools.clock.now())
        if made is None or (booked is not None and booked.content_length_bytes == made.content_length_bytes):
            return Output(uri, booked.row_count if booked is not None else 0, made, booked)
        if booked is not None and not booked.live:
            return Output(uri, booked.row_count, made, booked)
        try:
            read = await self._tools.read(uri)
            return Output(uri, await self._tools.threads.run(row_count, read.body), made, booked)
        except RejectedError:
            return None if booked is None else Output(uri, booked.row_count, None, booked)


def _raw_uris(raw: dict[str, RawFile], outputs: dict[str, list[Output]], books: DayBooks, prefix: str) -> list[str]:
    """Raw files that lie there, that the table names, or that something was made of although they are gone."""
    known = {*raw, *books.table_rows}
    batches = {batch_of(uri) for uri in known}
    gone = {f"{prefix}hr={batch[9:11]}/{batch}.parquet" for batch in outputs if batch not in batches}
    return sorted(known | gone)


def _replayed_at(outputs: Sequence[Output]) -> datetime | None:
    """When the raw file was replayed last: what was rejected before does not count any more."""
    moments = [one.booked.superseded_at for one in outputs if one.booked is not None]
    return max((moment for moment in moments if moment is not None), default=None)


def _again(books: DayBooks) -> list[str]:
    """Files that the ledger has more than once."""
    uris = Counter(one.uri for ones in books.booked.values() for one in ones)
    return [uri for uri, times in uris.items() if times > 1]


def _figures(facts: Sequence[Facts], count: _Count, messages: int, records: int) -> Figures:
    live = [output for one in facts for output in one.outputs if output.live]
    booked = [output.booked for output in live if output.booked is not None]
    return Figures(
        raw_files=sum(one.raw is not None for one in facts),
        messages=count.messages,
        messages_distinct=messages,
        records=sum(count.records.values()),
        records_distinct=records,
        refined_files=sum(output.made is not None for output in live),
        refined_rows=sum(output.rows for output in live),
        rejected=sum(one.rejected.waiting for one in facts),
        sent_back=sum(one.rejected.sent_back for one in facts),
        inserted=sum(one.inserted for one in booked),
        duplicate=sum(one.duplicate for one in booked),
        replaced=sum(one.replaced for one in booked),
        table_rows=sum(one.table_rows for one in facts),
    )


def total(days: Sequence[Figures]) -> Figures:
    """Several days together; distinct is by day."""
    names = Figures.__slots__
    return Figures(**{name: sum(getattr(one, name) for one in days) for name in names})
