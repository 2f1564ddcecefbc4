"""A warehouse in memory, for the `Warehouse` port: it answers by statement name, and keeps rows only at COMMIT.

It does what the statements mean, with Redshift's rules that matter here: a locked ledger makes the next transaction
wait for the end of this one; COPY reads the manifest's objects, all or nothing; keys are not enforced; a transaction
that does not commit leaves nothing.
"""

import asyncio
import io
import json
import re
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pyarrow.parquet as pq

from service.core.datasets import Dataset
from service.core.errors import RejectedError
from service.core.ports import Session, Statement
from tests.fakes.journal import Journal
from tests.fakes.store import FakeStore

Row = dict[str, Any]

_MANIFEST = re.compile(r"FROM '([^']+)'")
_TABLE = re.compile(r'"lake"\."(\w+)"')
_LEDGER = re.compile(r'"acequia"\."load_ledger_(\w+)"')
_ENTRY = re.compile(r"\('([^']+)', '([^']*)', (\d+), (\d+), (\d+), (\d+), (\d+), '([^']+)', '([^']+)'\)")
_TIME = re.compile(r'TO_CHAR\("(\w+)"')


@dataclass
class _State:
    tables: dict[str, list[Row]] = field(default_factory=dict)
    ledger: dict[str, dict[str, tuple[int, int, int]]] = field(default_factory=dict)
    locks: dict[str, asyncio.Lock] = field(default_factory=dict)


class FakeWarehouse:
    """Tables and ledgers. `refuse` names raw files whose rows COPY refuses."""

    def __init__(self, journal: Journal, store: FakeStore, datasets: Iterable[Dataset]) -> None:
        self._journal = journal
        self._store = store
        self._state = _State()
        self.columns = {dataset.name: list(dataset.stored_columns) for dataset in datasets}
        """The live tables: change them to see what a loader does about it."""
        self.refuse: set[str] = set()

    def rows(self, dataset: str) -> list[Row]:
        """What analysts would see."""
        return self._state.tables.get(dataset, [])

    def ledger(self, dataset: str) -> dict[str, tuple[int, int, int]]:
        """Rows, inserted and duplicate, by file."""
        return self._state.ledger.get(dataset, {})

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        """Everything or nothing."""
        async with AsyncExitStack() as locks:
            session = _FakeSession(self._journal, self._store, self.refuse, self._state, locks)
            session.columns = self.columns
            self._journal.before("warehouse begin")
            yield session
            with self._journal.act("warehouse commit"):
                for dataset, rows in session.inserted.items():
                    self._state.tables.setdefault(dataset, []).extend(rows)
                for dataset, entries in session.entries.items():
                    known = self._state.ledger.setdefault(dataset, {})
                    assert not set(entries) & set(known), "a file is in the ledger twice"
                    known.update(entries)

    async def run(self, statement: Statement) -> None:
        """Nothing of the flow runs outside a transaction; it is noted."""
        with self._journal.act(f"warehouse {statement.name}"):
            return


class _FakeSession:
    def __init__(
        self, journal: Journal, store: FakeStore, refuse: set[str], state: _State, locks: AsyncExitStack
    ) -> None:
        self._journal = journal
        self._store = store
        self._refuse = refuse
        self._state = state
        self._locks = locks
        self._locked = False
        self._staged: list[Row] = []
        self._fresh: list[Row] = []
        self.columns: dict[str, list[tuple[str, str]]] = {}
        self.inserted: dict[str, list[Row]] = {}
        self.entries: dict[str, dict[str, tuple[int, int, int]]] = {}

    async def execute(self, statement: Statement) -> None:
        with self._journal.act(f"warehouse {statement.name}"):
            if statement.name == "ledger_lock":
                lock = self._state.locks.setdefault(_one(_LEDGER, statement.text), asyncio.Lock())
                await self._locks.enter_async_context(lock)
                self._locked = True
            else:
                self._execute(statement)

    async def fetch(self, statement: Statement) -> list[tuple[Any, ...]]:
        with self._journal.act(f"warehouse {statement.name}"):
            return self._fetch(statement)

    def _execute(self, statement: Statement) -> None:
        match statement.name:
            case "copy":
                self._copy(statement.text)
            case "fresh_create":
                self._deduplicate(statement.text)
            case "fresh_insert":
                self.inserted.setdefault(_one(_TABLE, statement.text), []).extend(self._fresh)
            case "ledger_add":
                entries = self.entries.setdefault(_one(_LEDGER, statement.text), {})
                for uri, _, *numbers in _ENTRY.findall(statement.text):
                    rows, inserted, duplicate = (int(number) for number in numbers[:3])
                    entries[uri] = (rows, inserted, duplicate)

    def _fetch(self, statement: Statement) -> list[tuple[Any, ...]]:
        match statement.name:
            case "ledger_known":
                assert self._locked, "the ledger is read under its lock only"
                known = self._state.ledger.get(_one(_LEDGER, statement.text), {})
                return [(uri,) for uri in re.findall(r"'([^']+)'", statement.text) if uri in known]
            case "columns":
                return [(t, n, *_catalogued(written), "YES") for t, cs in self.columns.items() for n, written in cs]
            case "load_error":
                return [("amount", "Invalid value 'secret' for the column")]
            case "copy_count":
                return [(len(self._staged),)]
            case "fresh_counts":
                return self._counts(_one(_TIME, statement.text), hourly="HH24" in statement.text)
        raise AssertionError(statement.name)

    def _copy(self, text: str) -> None:
        manifest = json.loads(self._store.objects[_one(_MANIFEST, text)])
        for entry in manifest["entries"]:
            body = self._store.objects[entry["url"]]
            assert entry["mandatory"] is True
            assert entry["meta"]["content_length"] == len(body)
            rows = pq.read_table(io.BytesIO(body)).to_pylist()
            if any(row["_raw_file"] in self._refuse for row in rows):
                raise RejectedError("load_refused", "the warehouse refused the data")
            self._staged.extend(rows)

    def _deduplicate(self, text: str) -> None:
        seen = {row["_record_id"] for row in self._state.tables.get(_one(_TABLE, text), [])}
        for row in sorted(self._staged, key=lambda row: (row["_received_at"], row["_raw_file"])):
            if row["_record_id"] not in seen:
                seen.add(row["_record_id"])
                self._fresh.append(row)

    def _counts(self, event_time: str, *, hourly: bool) -> list[tuple[Any, ...]]:
        counts: dict[tuple[str, str], int] = {}
        for row in self._fresh:
            moment = row[event_time].strftime("%Y-%m-%d %H" if hourly else "%Y-%m-%d")
            counts[row["_raw_file"], moment] = counts.get((row["_raw_file"], moment), 0) + 1
        return [(raw_file, moment, count) for (raw_file, moment), count in counts.items()]


def _catalogued(written: str) -> tuple[str, int | None, int | None, int | None]:
    """A type as information_schema tells it: name, length, precision, scale."""
    kind, _, rest = written.partition("(")
    numbers = [int(number) for number in rest.rstrip(")").split(",") if number]
    match kind:
        case "varchar":
            return "character varying", numbers[0], None, None
        case "decimal":
            return "numeric", None, numbers[0], numbers[1]
        case "timestamp":
            return "timestamp without time zone", None, None, None
        case _:
            return kind, None, None, None


def _one(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.search(text)
    assert found is not None, text
    return found[1]
