"""What `acequia reprocess` and the resolver need of the layers: their skills, behind ports of the quarantine layer."""

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from service.core.errors import RejectedError
from service.core.notice import File, FileNotice
from service.core.zones import raw_place
from service.land.encode import SCHEMA
from service.load.statements import Statements, listed, literal
from service.load.tables import ledger, target
from service.quarantine.reprocess.rounds import Awaited
from service.quarantine.reprocess.tools import Tools
from service.quarantine.resolve import Resolve
from service.runtime import Worker
from service.upkeep.notices import row_count
from service.wiring.parts import DEAD, Parts, backoff
from service.wiring.rehearsal import Rehearsal

QUESTIONS = ("loaded", "committed")
"""sql/statements/reprocess.sql"""
SETTLE_BATCHES, SETTLE_POLLS = 2, 3
"""What failed again is an error row after so many of quarantine's batches and polls at the latest."""
BATCHES_AT_A_TIME = 500


def reprocess_tools(parts: Parts) -> Tools:
    """For the commands."""
    statements = Statements.load(parts.settings.sql_directory / "statements" / "reprocess.sql", expected=QUESTIONS)
    raw, means = parts.zone("raw"), parts.means

    async def loaded(dataset: str, record_ids: Sequence[str]) -> int:
        if dataset not in parts.datasets:
            return 0
        places = {"target": target(parts.datasets[dataset]), "record_ids": listed(map(literal, record_ids))}
        async with parts.warehouse.transaction() as session:
            [[count]] = await session.fetch(statements.render("loaded", **places))
        return int(count)

    async def notice_of(dataset: str, uri: str) -> FileNotice:
        place = raw_place(raw, uri)
        read = await means.store.read(uri)
        if read is None:
            raise RejectedError("missing_object", "its raw file is gone")
        body, etag = read
        messages = await means.threads.run(row_count, body)
        columns = [(field.name, str(field.type)) for field in SCHEMA]
        files = [File(uri, etag, len(body), rows=messages)]
        return FileNotice(dataset, raw.name, files, columns, place.batch_id, "", means.clock.now())

    return Tools(
        errors=parts.zone("errors"),
        means=means,
        queues={name: parts.queue(f"{'records' if name == 'land' else name}_queue") for name in DEAD},
        reprocess_queue=parts.queue("reprocess_queue"),
        rehearse=Rehearsal(parts),
        loaded=loaded,
        notice_of=notice_of,
        attempts_max=parts.settings.reprocess_attempts_max,
        token=lambda: secrets.token_hex(8),
    )


@dataclass(frozen=True, slots=True)
class Booked:
    """A row of a ledger, as the statement `committed` gives it. Moments are UTC without a zone."""

    uri: str
    batch_id: str
    loaded_at: datetime
    produced_at: datetime | None
    superseded_at: datetime | None


def there(asked: Iterable[Awaited], rows: Sequence[Booked], since: datetime) -> set[Awaited]:
    """Which of these the ledger's rows bring. A notice about records is settled also where a replay of their whole raw
    file was asked for later: that one has judged them again, and the notice brings nothing any more.
    """
    uris = {row.uri for row in rows}
    lately = {row.batch_id for row in rows if row.loaded_at.replace(tzinfo=UTC) >= since}
    told = {(row.batch_id, row.produced_at) for row in rows}
    replayed: dict[str, datetime] = {}
    for row in rows:
        if row.superseded_at is not None:
            replayed[row.batch_id] = max(row.superseded_at, replayed.get(row.batch_id, row.superseded_at))

    def is_there(one: Awaited) -> bool:
        if one.uris:
            return uris.issuperset(one.uris)
        if one.moment is None:
            return one.batch_id in lately
        return (one.batch_id, one.moment) in told or replayed.get(one.batch_id, one.moment) > one.moment

    return {one for one in asked if is_there(one)}


def resolver(parts: Parts) -> tuple[str, Worker]:
    """Beside the quarantine layer."""
    settings = parts.settings
    statements = Statements.load(settings.sql_directory / "statements" / "reprocess.sql", expected=QUESTIONS)

    async def committed(asked: Sequence[Awaited], since: datetime) -> set[Awaited]:
        found: set[Awaited] = set()
        for dataset in sorted({one.dataset for one in asked} & parts.datasets.keys()):
            mine = [one for one in asked if one.dataset == dataset]
            for start in range(0, len(mine), BATCHES_AT_A_TIME):
                some = mine[start : start + BATCHES_AT_A_TIME]
                batches = listed(map(literal, sorted({one.batch_id for one in some})))
                async with parts.warehouse.transaction() as session:
                    rows = await session.fetch(statements.render("committed", ledger=ledger(dataset), batches=batches))
                found |= there(some, [Booked(*row) for row in rows], since)
        return found

    return "resolve", Resolve(
        committed,
        zones=(parts.zone("raw"), parts.zone("errors")),
        load_queue=parts.queue("load_queue"),
        settle_seconds=SETTLE_BATCHES * settings.quarantine_batch_seconds_max + SETTLE_POLLS * settings.poll_seconds,
        backoff=backoff(settings, parts.jitter),
        means=parts.means,
        told=parts.means.emit,
    )
