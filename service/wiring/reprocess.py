"""What `acequia reprocess` and the resolver need of the layers: their skills, behind ports of the quarantine layer."""

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta

from service.core.errors import RejectedError
from service.core.notice import File, FileNotice
from service.core.ports import Clock
from service.core.zones import raw_place
from service.land.encode import SCHEMA
from service.load.statements import Statements, listed, literal
from service.load.tables import target
from service.quarantine.reprocess.tools import Tools
from service.quarantine.resolve import Resolve
from service.runtime import Worker
from service.upkeep.notices import row_count
from service.wiring.committed import Committed
from service.wiring.parts import DEAD, Parts, backoff
from service.wiring.rehearsal import Rehearsal

QUESTIONS = ("loaded", "committed")
"""sql/statements/reprocess.sql"""
SETTLE_BATCHES, SETTLE_POLLS = 2, 3
"""What failed again is an error row after so many of quarantine's batches and polls at the latest."""


_TICK = timedelta(microseconds=1)


class _Moments:
    """No moment twice: ledgers tell by a notice's moment which of those about a raw file brought a row."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last: datetime | None = None

    def next(self) -> datetime:
        """The present, or a little after the last one."""
        now = self._clock.now()
        self._last = now if self._last is None or now > self._last else self._last + _TICK
        return self._last


def reprocess_tools(parts: Parts) -> Tools:
    """For the commands."""
    statements = Statements.load(parts.settings.sql_directory / "statements" / "reprocess.sql", expected=QUESTIONS)
    raw, means = parts.zone("raw"), parts.means
    moments = _Moments(means.clock)

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
        return FileNotice(dataset, raw.name, files, columns, place.batch_id, "", moments.next())

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


def resolver(parts: Parts) -> tuple[str, Worker]:
    """Beside the quarantine layer."""
    settings = parts.settings
    statements = Statements.load(settings.sql_directory / "statements" / "reprocess.sql", expected=QUESTIONS)
    return "resolve", Resolve(
        Committed(parts, statements),
        zones=(parts.zone("raw"), parts.zone("errors")),
        load_queue=parts.queue("load_queue"),
        settle_seconds=SETTLE_BATCHES * settings.quarantine_batch_seconds_max + SETTLE_POLLS * settings.poll_seconds,
        backoff=backoff(settings, parts.jitter),
        means=parts.means,
        told=parts.means.emit,
    )
