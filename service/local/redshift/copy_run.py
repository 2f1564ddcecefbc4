"""Runs a COPY: reads the manifest and its files, and streams them into the client's own backend connection.

All files go into one COPY … FROM STDIN of the backend, so that either all rows arrive or none. One file at a time is
on disk, one batch of its rows in memory.
"""

import asyncio
import tempfile
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, Protocol, TypeVar

from service.local.redshift.columns import Column, columns_query, identity_query, loaded_columns, table_columns
from service.local.redshift.copy_statement import CopyStatement
from service.local.redshift.faults import Faults
from service.local.redshift.load_log import LoadLog, Run, Scanned, now
from service.local.redshift.manifest import MANIFEST_BYTES_MAX, Entry, read_manifest
from service.local.redshift.objects import Location, Objects
from service.local.redshift.parquet import Target, csv_batches
from service.local.redshift.refusals import OWN_LIMIT, ScanError, engine_error

_T = TypeVar("_T")

FILE_BYTES_MAX = 512 * 1024 * 1024

_FROM_CLIENT = "FROM STDIN WITH (FORMAT csv, ENCODING 'UTF8')"
_WAY_AROUND = "pg_temp.acequia_copied"
_CODE_SOURCE = 15001  # Redshift's own number for a missing file is not known: 15001 to 15007


class Backend(Protocol):
    """The client's connection to PostgreSQL, in whatever transaction the client has open."""

    async def query(self, sql: str) -> list[tuple[str | None, ...]]:
        """Run statements; the rows of the last one, as text."""

    async def copy_in(self, sql: str, chunks: AsyncGenerator[bytes, None]) -> int:
        """Run COPY … FROM STDIN; the number of rows. Nothing is stored if `chunks` raises."""


class Loader:
    """Runs COPY for every session of one stand-in. `scratch` holds the file that is being read."""

    def __init__(
        self, objects: Objects, *, scratch: Path, threads: Executor, log: LoadLog, faults: Faults, string_bytes_max: int
    ) -> None:
        self._objects = objects
        self._scratch = scratch
        self._threads = threads
        self._log = log
        self._faults = faults
        self._string_bytes_max = string_bytes_max

    async def begun(self, statement: CopyStatement, *, user: str, session: int) -> Run:
        """A run of the statement, for one session of a user."""
        return Run(await self._log.next_query(), user, session, statement.shown_table, statement.manifest)

    async def load(self, statement: CopyStatement, backend: Backend, run: Run) -> int:
        """Load every file of the manifest inside the backend's transaction; the number of rows.

        Raises RefusedError, after which the backend's transaction may still be alive, or what `backend` raises. What
        became of the run is written down either way.
        """
        error: ScanError | None = None
        completed = False
        try:
            count = await self._load(statement, backend, run)
            completed = True
        except ScanError as scan:
            error = scan
            raise engine_error(scan, query=run.query) from None
        finally:
            # A statement that names what is not there never began to load.
            if completed:
                await self._log.completed(run)
            elif run.table_id:
                await self._log.aborted(run, error)
        return count

    async def _load(self, statement: CopyStatement, backend: Backend, run: Run) -> int:
        columns = loaded_columns(table_columns(await backend.query(columns_query(statement.table))), statement)
        [(table_id, transaction)] = await backend.query(identity_query(statement.table))
        run.table_id, run.transaction = int(table_id or 0), int(transaction or 0)
        target = Target(
            columns=tuple(columns),
            serialize_to_json=statement.serialize_to_json,
            fill_record=statement.fill_record,
            accept_invalid_characters=statement.accept_invalid_characters,
            string_bytes_max=self._string_bytes_max,
        )
        target.check_options()
        entries = await self._entries(Location.of(statement.manifest))
        run.files = len(entries)
        return await _rows_in(backend, statement, columns, self._chunks(entries, target, run))

    async def _entries(self, location: Location) -> list[Entry]:
        async with self._objects.opened(location) as manifest:
            if manifest is None:
                text = f"{OWN_LIMIT} The manifest was not found: {location.shown}"
                raise ScanError(_CODE_SOURCE, text)
            if manifest.size_bytes > MANIFEST_BYTES_MAX:
                text = f"{OWN_LIMIT} The manifest is longer than {MANIFEST_BYTES_MAX} bytes."
                raise ScanError(_CODE_SOURCE, text)
            return read_manifest(b"".join([chunk async for chunk in manifest.chunks]))

    async def _chunks(self, entries: list[Entry], target: Target, run: Run) -> AsyncGenerator[bytes, None]:
        for entry in entries:
            with tempfile.NamedTemporaryFile(dir=self._scratch, suffix=".parquet") as file:
                path, start, rows = Path(file.name), now(), 0
                if not await self._fetched(entry, path):
                    continue
                batches = csv_batches(path, entry.location, target)
                while (batch := await self._in_thread(next, batches, None)) is not None:
                    yield batch.csv
                    rows += batch.rows
                run.scanned.append(Scanned(entry.location.uri, entry.size_bytes, rows, start, now()))
        if not run.scanned:
            raise _file_not_found(entries[0])

    async def _fetched(self, entry: Entry, path: Path) -> bool:
        """Bring the file here; False if it is missing and may be."""
        on_demand = self._faults.file_error(entry.location.uri)
        if on_demand is not None:
            raise ScanError(_CODE_SOURCE, f"{on_demand} File name: {entry.location.shown}", file=entry.location.uri)
        async with self._objects.opened(entry.location) as content:
            if content is None:
                if entry.mandatory:
                    raise _file_not_found(entry)
                return False
            _check_size(entry, content.size_bytes)
            try:
                with path.open("wb") as file:
                    async for chunk in content.chunks:
                        await self._in_thread(file.write, chunk)
            except OSError as error:
                text = f"{OWN_LIMIT} The file could not be kept on disk: {error.strerror}."
                raise ScanError(_CODE_SOURCE, text) from None
        return True

    async def _in_thread(self, work: Callable[..., _T], *args: Any) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *args)


def _check_size(entry: Entry, size_bytes: int) -> None:
    if size_bytes != entry.size_bytes:
        text = f"{OWN_LIMIT} The manifest's content_length is {entry.size_bytes}, the file has {size_bytes} bytes."
        raise ScanError(_CODE_SOURCE, f"{text} File name: {entry.location.shown}", file=entry.location.uri)
    if size_bytes > FILE_BYTES_MAX:
        text = f"{OWN_LIMIT} A file may have at most {FILE_BYTES_MAX} bytes."
        raise ScanError(_CODE_SOURCE, f"{text} File name: {entry.location.shown}", file=entry.location.uri)


def _file_not_found(entry: Entry) -> ScanError:
    return ScanError(_CODE_SOURCE, f"File not found. File name: {entry.location.shown}", file=entry.location.uri)


async def _rows_in(
    backend: Backend, statement: CopyStatement, columns: list[Column], chunks: AsyncGenerator[bytes, None]
) -> int:
    """Bring the rows into the table. SUPER has no input of its own, so its documents take a way around as jsonb."""
    names = ", ".join(_quoted(column.name) for column in columns)
    if all(column.type != "super" for column in columns):
        return await backend.copy_in(f"COPY {statement.table} ({names}) {_FROM_CLIENT}", chunks)
    target = f"{statement.table} ({names})"
    made = ", ".join(
        f"{_quoted(column.name)} {'jsonb' if column.type == 'super' else column.declaration}" for column in columns
    )
    await backend.query(f"CREATE TEMP TABLE {_WAY_AROUND} ({made})")
    count = await backend.copy_in(f"COPY {_WAY_AROUND} ({names}) {_FROM_CLIENT}", chunks)
    await backend.query(f"INSERT INTO {target} SELECT {names} FROM {_WAY_AROUND}; DROP TABLE {_WAY_AROUND}")  # noqa: S608
    return count


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
