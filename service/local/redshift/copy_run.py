"""Runs a COPY: reads the manifest and its files, and streams them into the client's own backend connection.

All files go into one COPY … FROM STDIN of the backend, so that either all rows arrive or none. One file at a time is
on disk, one batch of its rows in memory.
"""

import asyncio
import itertools
import tempfile
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from service.local.redshift.columns import columns_query, loaded_columns, table_columns
from service.local.redshift.copy_statement import CopyStatement
from service.local.redshift.manifest import MANIFEST_BYTES_MAX, Entry, read_manifest
from service.local.redshift.objects import Location, Objects
from service.local.redshift.parquet import Target, csv_batches
from service.local.redshift.refusals import OWN_LIMIT, ScanError, engine_error

_T = TypeVar("_T")

FILE_BYTES_MAX = 512 * 1024 * 1024
FIRST_QUERY_ID = 1000

_CODE_SOURCE = 15001  # Redshift's own number for a missing file is not known: 15001 to 15007


class Backend(Protocol):
    """The client's connection to PostgreSQL, in whatever transaction the client has open."""

    async def query(self, sql: str) -> list[tuple[str | None, ...]]:
        """Run statements; the rows of the last one, as text."""

    async def copy_in(self, sql: str, chunks: AsyncGenerator[bytes, None]) -> int:
        """Run COPY … FROM STDIN; the number of rows. Nothing is stored if `chunks` raises."""


@dataclass(frozen=True)
class Loaded:
    rows: int
    query: int


class Loader:
    """Runs COPY for every session of one stand-in. `scratch` holds the file that is being read."""

    def __init__(self, objects: Objects, *, scratch: Path, threads: Executor) -> None:
        self._objects = objects
        self._scratch = scratch
        self._threads = threads
        self._queries = itertools.count(FIRST_QUERY_ID)

    async def load(self, statement: CopyStatement, backend: Backend) -> Loaded:
        """Load every file of the manifest inside the backend's transaction.

        Raises RefusedError, after which the backend's transaction may still be alive, or what `backend` raises.
        """
        query = next(self._queries)
        rows = await backend.query(columns_query(statement.table))
        columns = loaded_columns(table_columns(rows), statement)
        target = Target(
            columns=tuple(columns),
            serialize_to_json=statement.serialize_to_json,
            fill_record=statement.fill_record,
            accept_invalid_characters=statement.accept_invalid_characters,
        )
        try:
            target.check_options()
            entries = await self._entries(Location.of(statement.manifest))
            count = await backend.copy_in(_backend_copy(statement), self._chunks(entries, target))
        except ScanError as error:
            raise engine_error(error, query=query) from None
        return Loaded(count, query)

    async def _entries(self, location: Location) -> list[Entry]:
        async with self._objects.opened(location) as manifest:
            if manifest is None:
                text = f"{OWN_LIMIT} The manifest was not found: {location.shown}"
                raise ScanError(_CODE_SOURCE, text)
            if manifest.size_bytes > MANIFEST_BYTES_MAX:
                text = f"{OWN_LIMIT} The manifest is longer than {MANIFEST_BYTES_MAX} bytes."
                raise ScanError(_CODE_SOURCE, text)
            return read_manifest(b"".join([chunk async for chunk in manifest.chunks]))

    async def _chunks(self, entries: list[Entry], target: Target) -> AsyncGenerator[bytes, None]:
        found_any = False
        for entry in entries:
            with tempfile.NamedTemporaryFile(dir=self._scratch, suffix=".parquet") as file:
                path = Path(file.name)
                if not await self._fetched(entry, path):
                    continue
                found_any = True
                batches = csv_batches(path, entry.location, target)
                while (batch := await self._in_thread(next, batches, None)) is not None:
                    yield batch
        if not found_any:
            raise _file_not_found(entries[0])

    async def _fetched(self, entry: Entry, path: Path) -> bool:
        """Bring the file here; False if it is missing and may be."""
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
        raise ScanError(_CODE_SOURCE, f"{text} File name: {entry.location.shown}")
    if size_bytes > FILE_BYTES_MAX:
        text = f"{OWN_LIMIT} A file may have at most {FILE_BYTES_MAX} bytes."
        raise ScanError(_CODE_SOURCE, f"{text} File name: {entry.location.shown}")


def _file_not_found(entry: Entry) -> ScanError:
    return ScanError(_CODE_SOURCE, f"File not found. File name: {entry.location.shown}")


def _backend_copy(statement: CopyStatement) -> str:
    columns = f" ({', '.join(statement.columns)})" if statement.columns else ""
    return f"COPY {statement.table}{columns} FROM STDIN WITH (FORMAT csv, ENCODING 'UTF8')"
