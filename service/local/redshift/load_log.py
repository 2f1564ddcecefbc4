"""Writes what SYS_LOAD_HISTORY, SYS_LOAD_DETAIL and SYS_LOAD_ERROR_DETAIL show.

Over a connection of its own: the rows stay when the COPY's transaction is rolled back.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import asyncpg

from service.local.postgres import DATABASE
from service.local.redshift.refusals import ScanError

_HISTORY = """
INSERT INTO redshift.load_history VALUES
    ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 'parquet', $12, $13, $14, $13, $15, $13, $16, -1)
"""
_DETAIL = "INSERT INTO redshift.load_detail VALUES ($1, $2, $3, $4, $5, $6, 0, $7, $8)"
_ERROR = """
INSERT INTO redshift.load_error_detail VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 0, $13, $14)
"""


def now() -> datetime:
    """UTC without a zone, as Redshift's system tables have it."""
    return datetime.now(UTC).replace(tzinfo=None)


@dataclass(frozen=True)
class Scanned:
    """One file of a COPY that was read to its end."""

    uri: str
    size_bytes: int
    rows: int
    start: datetime
    end: datetime


@dataclass
class Run:
    """One COPY while it runs."""

    query: int
    user: str
    session: int
    table: str
    source: str
    transaction: int = 0
    table_id: int = 0
    files: int = 0
    start: datetime = field(default_factory=now)
    scanned: list[Scanned] = field(default_factory=list)


class LoadLog:
    """One connection for all sessions; they take turns."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self._turn = asyncio.Lock()

    async def next_query(self) -> int:
        """A number that no other COPY has, of this stand-in or another in front of the same warehouse."""
        async with self._turn:
            return int(await self._connection.fetchval("SELECT nextval('redshift.query_numbers')"))

    async def completed(self, run: Run) -> None:
        await self._write(_HISTORY, [_history(run, "completed", errors=0)])
        details = [
            (run.user, run.query, file.uri, file.size_bytes, file.rows, file.end, file.start, file.end)
            for file in run.scanned
        ]
        await self._write(_DETAIL, details)

    async def aborted(self, run: Run, error: ScanError | None) -> None:
        """`error` is None where the COPY did not fail over its data."""
        await self._write(_HISTORY, [_history(run, "aborted", errors=int(error is not None))])
        if error is None:
            return
        row = (
            run.user,
            run.query,
            run.transaction,
            run.session,
            DATABASE,
            run.table_id,
            run.start,
            error.file,
            error.line,
            error.column,
            error.column_type,
            error.column_length,
            error.code,
            error.context,
        )
        await self._write(_ERROR, [row])

    async def _write(self, sql: str, rows: Sequence[tuple[Any, ...]]) -> None:
        async with self._turn:
            await self._connection.executemany(sql, rows)


def _history(run: Run, status: str, *, errors: int) -> tuple[Any, ...]:
    end = now()
    duration = (end - run.start).total_seconds() * 1_000_000
    rows = sum(file.rows for file in run.scanned) if status == "completed" else 0
    size_bytes = sum(file.size_bytes for file in run.scanned)
    what = (run.user, run.query, run.transaction, run.session, DATABASE, status, run.table, run.start, end)
    return (*what, int(duration), run.source, rows, size_bytes, run.files, len(run.scanned), errors)
