"""COPY into a temporary table, and the choice of the rows that go from there into the table that analysts read."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from service.core.errors import RejectedError
from service.core.notice import File
from service.core.ports import Means, Session
from service.core.zones import Zone, batch_of, manifest_key
from service.load.groups import Group
from service.load.ledger import Fate, Fates
from service.load.places import fresh_places
from service.load.statements import Statements, literal


class Stage:
    """The temporary tables of a transaction. `role` is the IAM role with which Redshift reads files and manifests.

    Manifests lie in the refined zone, those about error files too: of the errors zone the role reads these files alone.
    """

    def __init__(self, statements: Statements, *, refined: Zone, role: str, means: Means) -> None:
        self._statements = statements
        self._refined = refined
        self._role = role
        self._means = means

    async def fill(
        self, session: Session, group: Group, files: Sequence[File], raw_files: Sequence[str], places: Mapping[str, str]
    ) -> Fates:
        """COPY the files and choose; returns what will become of each file's rows.

        Rows of the given raw files give way to them. Raises RejectedError when the count is not what the notices say.
        """
        run, render = session.execute, self._statements.render
        manifest = await self._manifest(group, files)
        await run(render("stage_create", **places))
        await run(render("copy", manifest=literal(manifest), role=literal(self._role), **places))
        expected = sum(file.rows for file in files)
        [[counted]] = await session.fetch(render("copy_count"))
        if counted != expected:
            raise RejectedError("load_refused", f"COPY counted {counted} rows where the notices say {expected}")
        span = await self._span(session, group, places)
        await run(render("fresh_create", **places, **fresh_places(group, raw_files, span)))
        return _by_uri(files, await session.fetch(render("fresh_counts", **places)))

    async def empty(self, session: Session, places: Mapping[str, str]) -> None:
        """Put the chosen rows into the table, and drop the temporary ones."""
        for name in ("fresh_insert", "stage_drop", "fresh_drop"):
            await session.execute(self._statements.render(name, **places))

    async def _span(
        self, session: Session, group: Group, places: Mapping[str, str]
    ) -> tuple[datetime, datetime] | None:
        if group.dataset.duplicate_days is None or group.dataset.event_time not in dict(group.columns):
            return None
        [(earliest, latest)] = await session.fetch(self._statements.render("stage_span", **places))
        return None if earliest is None else (earliest, latest)

    async def _manifest(self, group: Group, files: Sequence[File]) -> str:
        """Store the list that COPY reads; every file mandatory and with its length, or COPY would skip or refuse it."""
        entries = [
            {"url": file.uri, "mandatory": True, "meta": {"content_length": file.content_length_bytes}}
            for file in files
        ]
        body = json.dumps({"entries": entries}, separators=(",", ":")).encode()
        group_id = f"{group.group_id}-{hashlib.sha256(body).hexdigest()[:8]}"
        stored = await self._means.store.put_new(self._refined.uri(manifest_key(group.dataset.name, group_id)), body)
        return stored.uri


def _by_uri(files: Iterable[File], counts: Iterable[tuple[Any, ...]]) -> Fates:
    """A row knows its raw file and the moment by which it was cut; together they name the refined file.

    An error row knows its own file.
    """
    files = list(files)
    own = {file.uri for file in files}
    found = {
        (raw_file if raw_file in own else batch_of(raw_file), moment): (int(count), int(replacing))
        for raw_file, moment, count, replacing in counts
    }
    fates = {}
    for file in files:
        moment = _moment(file.uri)
        places = [place for place in ((file.uri, moment), (batch_of(file.uri), moment)) if place in found]
        count, replacing = found[places[0]] if places else (0, 0)
        fates[file.uri] = Fate(inserted=count - replacing, replaced=replacing, duplicate=file.rows - count)
    return fates


def _moment(uri: str) -> str:
    """The partition in an address, `dt=2011-10-01/hr=09`, as the statement writes it: `2011-10-01 09`."""
    return " ".join(part.partition("=")[2] for part in uri.split("/")[-3:-1] if "=" in part)
