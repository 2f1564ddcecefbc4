"""One group of files into one table, in one transaction.

Durable effects, in this order: COPY manifest stored → transaction committed. Inside the transaction: lock the ledger →
read it → COPY to a temporary table → compare the count → drop duplicates by `_record_id` → insert → write the ledger.

    dies before COMMIT          nothing happened; a manifest is left that nobody reads again
    COMMIT's answer is lost     the group is tried again, finds its files in the ledger under the lock, and is done

An unlocked read of the ledger would prove presence, never absence: so it is read under the lock, every time.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC

from service.core.datasets import Dataset
from service.core.errors import RejectedError, SetupError, TransientError
from service.core.events import LoadersMet
from service.core.notice import File
from service.core.ports import Means, Session, Warehouse
from service.core.zones import Zone, manifest_key, refined_place
from service.load.statements import Statements, identifier, listed, literal
from service.load.tables import ledger, stage_type, target

STATEMENTS = (
    "ledger_lock",
    "ledger_known",
    "stage_create",
    "copy",
    "copy_count",
    "fresh_create",
    "fresh_insert",
    "fresh_counts",
    "ledger_add",
    "stage_drop",
    "fresh_drop",
    "load_error",
)
LOCK_SECONDS_USUAL = 1.0
"""A lock that nobody holds is given well within that."""
FILE_NAME_LETTERS = 256
"""As many letters of a file's name as SYS_LOAD_ERROR_DETAIL keeps."""
QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
STAGE, FRESH = "acequia_stage", "acequia_fresh"


@dataclass(frozen=True, slots=True)
class Group:
    """Files for one COPY: all have the same columns in the same order, because COPY goes by position."""

    dataset: Dataset
    columns: Sequence[tuple[str, str]]
    files: Sequence[File]
    group_id: str


@dataclass(frozen=True, slots=True)
class Committed:
    """What a transaction did. Files that the ledger knew already count in `known_files` alone."""

    files: int
    known_files: int
    rows: int
    inserted: int


class Commit:
    """Runs the transaction. `role` is the IAM role with which Redshift reads the refined zone."""

    def __init__(self, statements: Statements, *, warehouse: Warehouse, refined: Zone, role: str, means: Means) -> None:
        self._statements = statements
        self._warehouse = warehouse
        self._refined = refined
        self._role = role
        self._means = means

    async def run(self, group: Group) -> Committed:
        """Load what is not loaded yet. Raises TransientError, SetupError, or RejectedError for the data's sake."""
        async with self._warehouse.transaction() as session:
            places = _places(group)
            await self._lock(session, group, places)
            uris = listed(literal(file.uri) for file in group.files)
            known = {
                row[0] for row in await session.fetch(self._statements.render("ledger_known", uris=uris, **places))
            }
            files = [file for file in group.files if file.uri not in known]
            inserted = await self._copy(session, group, files, places) if files else {}
            if files:
                entries = listed(self._entry(group, file, inserted.get(file.uri, 0)) for file in files)
                await session.execute(self._statements.render("ledger_add", entries=entries, **places))
        return Committed(len(files), len(known), sum(file.rows for file in files), sum(inserted.values()))

    async def explained(self, file: File, refused: RejectedError) -> RejectedError:
        """The refusal with Redshift's own words about this file, where it has some and we may read them.

        What stands in quotes is left out: it could be a value.
        """
        place = {"file": literal(file.uri[:FILE_NAME_LETTERS])}
        try:
            async with self._warehouse.transaction() as session:
                rows = await session.fetch(self._statements.render("load_error", **place))
        except (RejectedError, SetupError, TransientError):
            return refused
        if not rows:
            return refused
        column, words = rows[0]
        return RejectedError(refused.code, f"{refused.sentence}: {QUOTED.sub('…', words)}", column=column or None)

    async def _lock(self, session: Session, group: Group, places: Mapping[str, str]) -> None:
        asked = self._means.clock.monotonic()
        await session.execute(self._statements.render("ledger_lock", **places))
        waited = self._means.clock.monotonic() - asked
        if waited >= LOCK_SECONDS_USUAL:
            self._means.emit(LoadersMet(group.dataset.name, waited))

    async def _copy(
        self, session: Session, group: Group, files: Sequence[File], places: Mapping[str, str]
    ) -> dict[str, int]:
        manifest = await self._manifest(group, files)
        run, render = session.execute, self._statements.render
        await run(render("stage_create", **places))
        await run(render("copy", manifest=literal(manifest), role=literal(self._role), **places))
        expected = sum(file.rows for file in files)
        [[counted]] = await session.fetch(render("copy_count"))
        if counted != expected:
            raise RejectedError("load_refused", f"COPY counted {counted} rows where the notices say {expected}")
        await run(render("fresh_create", **places))
        await run(render("fresh_insert", **places))
        counts = await session.fetch(render("fresh_counts", **places))
        await run(render("stage_drop", **places))
        await run(render("fresh_drop", **places))
        return _by_uri(files, self._refined, counts)

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

    def _entry(self, group: Group, file: File, inserted: int) -> str:
        loaded_at = self._means.clock.now().astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ")
        numbers = (file.rows, inserted, file.rows - inserted, 0, file.content_length_bytes)
        values = (file.uri, file.etag, *numbers, group.group_id, loaded_at)
        return f"({listed(literal(value) for value in values)})"


def _places(group: Group) -> dict[str, str]:
    dataset = group.dataset
    return {
        "ledger": ledger(dataset.name),
        "target": target(dataset.name),
        "stage": identifier(STAGE),
        "fresh": identifier(FRESH),
        "columns": listed(identifier(name) for name, _ in group.columns),
        "stage_columns": listed(f"{identifier(name)} {stage_type(written)}" for name, written in group.columns),
        "parsed_columns": listed(
            f"JSON_PARSE({identifier(name)})" if written == "super" else identifier(name)
            for name, written in group.columns
        ),
        "event_time": identifier(dataset.event_time),
        "partition_format": literal("YYYY-MM-DD" if dataset.partition == "day" else "YYYY-MM-DD HH24"),
    }


def _by_uri(files: Iterable[File], refined: Zone, counts: Iterable[tuple[str, str, int]]) -> dict[str, int]:
    """Rows inserted, by refined file. A row knows its raw file and its event time; together they name the file."""
    found = {(_batch_id(raw_file), moment): count for raw_file, moment, count in counts}
    places = {file.uri: refined_place(refined, file.uri) for file in files}
    return {uri: found.get((place.batch_id, _moment(place.partition)), 0) for uri, place in places.items()}


def _batch_id(raw_file: str) -> str:
    return raw_file.rpartition("/")[2].removesuffix(".parquet")


def _moment(partition: str) -> str:
    """`dt=2011-10-01/hr=09` as the statement writes it: `2011-10-01 09`."""
    return " ".join(part.partition("=")[2] for part in partition.split("/"))
