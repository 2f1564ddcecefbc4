"""A warehouse in memory, for the `Warehouse` port: it answers by statement name, and keeps rows only at COMMIT.

It does what the statements mean, with Redshift's rules that matter here: a locked ledger makes the next transaction
wait for the end of this one; COPY reads the manifest's objects, all or nothing; keys are not enforced; a transaction
that does not commit leaves nothing.
"""

import asyncio
import io
import json
import re
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pyarrow.parquet as pq

from service.core.datasets import Dataset
from service.core.errors import RejectedError
from service.core.ports import Session, Statement
from service.load.tables import LEDGER_COLUMNS, LEDGER_PREFIX
from tests.fakes.journal import Journal
from tests.fakes.store import FakeStore

Row = dict[str, Any]
LedgerRow = tuple[Any, ...]

_MANIFEST = re.compile(r"FROM '([^']+)'")
_TABLE = re.compile(r'"lake"\."(\w+)"')
_LEDGER = re.compile(r'"acequia"\."load_ledger_(\w+)"')
_TEXT = re.compile(r"'([^']*)'")
_ENTRY = re.compile(r"\(('[^()]*)\)")
_VERSION = re.compile(r'present\."(\w+)" < staged')
_REPLAYED = re.compile(r"present\._raw_file IN \(([^)]*)\)")
_NEAR = re.compile(r"""present\."(\w+)" BETWEEN '([^']+)' AND '([^']+)'""")
_TIME = re.compile(r'TO_CHAR\(staged\."(\w+)"')
WORDS = "Invalid value 'secret' for the column"
_MOMENTS, _NUMBERS = (8, 10, 11), slice(2, 7)


@dataclass
class _State:
    tables: dict[str, list[Row]] = field(default_factory=dict)
    ledger: dict[str, dict[str, LedgerRow]] = field(default_factory=dict)
    locks: dict[str, asyncio.Lock] = field(default_factory=dict)


class FakeWarehouse:
    """Tables and ledgers. `refuse` names raw files whose rows COPY refuses."""

    def __init__(self, journal: Journal, store: FakeStore, datasets: Iterable[Dataset]) -> None:
        self._journal = journal
        self._store = store
        self._state = _State()
        self.columns = {dataset.name: list(dataset.stored_columns) for dataset in datasets}
        """The live tables: change them to see what a loader does about it."""
        self.ledgers = {f"{LEDGER_PREFIX}{name}": list(LEDGER_COLUMNS) for name in self.columns}
        """The live ledgers, likewise."""
        self.refuse: set[str] = set()
        self.refuses: Callable[[Row], bool] = lambda row: row["_raw_file"] in self.refuse
        self.large_strings = False
        self.copies: list[int] = []
        """Files of every COPY that was tried."""

    def rows(self, dataset: str) -> list[Row]:
        """What analysts would see."""
        return self._state.tables.get(dataset, [])

    def entries(self, dataset: str) -> dict[str, LedgerRow]:
        """The ledger, by file, in the order of its columns."""
        return self._state.ledger.get(dataset, {})

    def ledger(self, dataset: str) -> dict[str, tuple[int, int, int]]:
        """Rows, inserted and duplicate, by file."""
        return {uri: entry[2:5] for uri, entry in self.entries(dataset).items()}

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        """Everything or nothing."""
        async with AsyncExitStack() as locks:
            session = _FakeSession(self, self._store, self._state, locks)
            self._journal.before("warehouse begin")
            yield session
            with self._journal.act("warehouse commit") as done:
                done.extend(uri for name, ledger in session.ledgers.items() for uri in ledger)
                self._state.tables.update(session.tables)
                self._state.ledger.update(session.ledgers)

    async def run(self, statement: Statement) -> None:
        """Nothing of the flow runs outside a transaction; it is noted."""
        with self._journal.act(f"warehouse {statement.name}"):
            return

    @property
    def journal(self) -> Journal:
        """Where everything is noted."""
        return self._journal


class _FakeSession:
    """A transaction: it works on its own copy of what it changes."""

    def __init__(self, warehouse: FakeWarehouse, store: FakeStore, state: _State, locks: AsyncExitStack) -> None:
        self._warehouse = warehouse
        self._store = store
        self._state = state
        self._locks = locks
        self._locked = False
        self._staged: list[Row] = []
        self._fresh: list[tuple[Row, str, bool]] = []
        self.tables: dict[str, list[Row]] = {}
        self.ledgers: dict[str, dict[str, LedgerRow]] = {}

    async def execute(self, statement: Statement) -> None:
        with self._warehouse.journal.act(f"warehouse {statement.name}"):
            if statement.name == "ledger_lock":
                lock = self._state.locks.setdefault(_one(_LEDGER, statement.text), asyncio.Lock())
                await self._locks.enter_async_context(lock)
                self._locked = True
            else:
                self._execute(statement.name, statement.text)

    async def fetch(self, statement: Statement) -> list[tuple[Any, ...]]:
        with self._warehouse.journal.act(f"warehouse {statement.name}"):
            return self._fetch(statement)

    def _execute(self, name: str, text: str) -> None:
        acts: dict[str, Callable[[str], None]] = {
            "copy": self._copy,
            "fresh_create": self._choose,
            "fresh_insert": lambda text: self._table(text).extend(row for row, _, _ in self._fresh),
            "replayed_delete": self._delete_replayed,
            "older_delete": self._delete_older,
            "ledger_remove": self._forget,
            "ledger_add": self._enter,
        }
        if name not in ("stage_create", "stage_drop", "fresh_drop"):
            acts[name](text)

    def _fetch(self, statement: Statement) -> list[tuple[Any, ...]]:
        answers: dict[str, Callable[[str], list[tuple[Any, ...]]]] = {
            "ledger_known": self._known,
            "columns": lambda text: _catalogue(
                self._warehouse.columns if "'lake'" in text else self._warehouse.ledgers
            ),
            "diststyles": lambda _: [],
            "large_strings": lambda _: [(self._warehouse.large_strings,)],
            "load_errors": lambda text: [(name, "amount", WORDS) for name in _TEXT.findall(text)],
            "copy_count": lambda _: [(len(self._staged),)],
            "stage_span": self._span,
            "fresh_counts": lambda _: self._counts(),
            "lock_holder": lambda _: [],
        }
        return answers[statement.name](statement.text)

    def _known(self, text: str) -> list[tuple[Any, ...]]:
        asked = set(_TEXT.findall(text))
        return [entry for entry in self._ledger(text).values() if {entry[0], entry[9]} & asked]

    def _forget(self, text: str) -> None:
        for uri in _TEXT.findall(text):
            del self._ledger(text)[uri]

    def _enter(self, text: str) -> None:
        for values in _ENTRY.findall(text.partition("VALUES")[2]):
            entry = _entry(values)
            assert entry[0] not in self._ledger(text), "a file is in the ledger twice"
            self._ledger(text)[entry[0]] = entry

    def _span(self, text: str) -> list[tuple[Any, ...]]:
        column = re.findall(r'"(\w+)"', text)[0]
        moments = [row[column] for row in self._staged]
        return [(min(moments, default=None), max(moments, default=None))]

    def _counts(self) -> list[tuple[Any, ...]]:
        counts: dict[tuple[str, str], tuple[int, int]] = {}
        for row, moment, replacing in self._fresh:
            count, replaced = counts.get((row["_raw_file"], moment), (0, 0))
            counts[row["_raw_file"], moment] = (count + 1, replaced + replacing)
        return [(raw_file, moment, *both) for (raw_file, moment), both in counts.items()]

    def _delete_replayed(self, text: str) -> None:
        gone = set(_TEXT.findall(text))
        self._delete(text, lambda row: row["_raw_file"] in gone)

    def _delete_older(self, text: str) -> None:
        ids = {row["_record_id"] for row, _, replacing in self._fresh if replacing}
        self._delete(text, lambda row: row["_record_id"] in ids)

    def _table(self, text: str) -> list[Row]:
        name = _one(_TABLE, text)
        return self.tables.setdefault(name, list(self._state.tables.get(name, [])))

    def _ledger(self, text: str) -> dict[str, LedgerRow]:
        name = _one(_LEDGER, text)
        if not self._locked:
            return dict(self._state.ledger.get(name, {}))
        return self.ledgers.setdefault(name, dict(self._state.ledger.get(name, {})))

    def _delete(self, text: str, gone: Callable[[Row], bool]) -> None:
        table = self._table(text)
        table[:] = [row for row in table if not gone(row)]

    def _copy(self, text: str) -> None:
        manifest = json.loads(self._store.objects[_one(_MANIFEST, text)])
        self._warehouse.copies.append(len(manifest["entries"]))
        for entry in manifest["entries"]:
            body = self._store.objects.get(entry["url"])
            if body is None:
                raise RejectedError("load_refused", "the warehouse refused the data: file not found")
            assert entry["mandatory"] is True
            assert entry["meta"]["content_length"] == len(body)
            rows = pq.ParquetFile(io.BytesIO(body)).read(use_threads=False).to_pylist()
            if any(self._warehouse.refuses(row) for row in rows):
                raise RejectedError("load_refused", "the warehouse refused the data")
            self._staged.extend(rows)

    def _choose(self, text: str) -> None:
        """The rows that go in, with their file's moment and whether they take another row's place."""
        version, replayed, near = (pattern.search(text) for pattern in (_VERSION, _REPLAYED, _NEAR))
        gone = set(_TEXT.findall(replayed[1])) if replayed else set()
        present = {row["_record_id"]: row for row in self._table(text) if near is None or _within(row, near)}
        order = sorted(self._staged, key=lambda row: (row["_received_at"], row["_raw_file"]))
        if version is not None:
            order.sort(key=lambda row: _rank(row, version), reverse=True)  # keeps the order of equals
        form = "%Y-%m-%d %H" if "HH24" in text else "%Y-%m-%d"
        seen = set()
        for row in order:
            there = present.get(row["_record_id"])
            lower = version is not None and there is not None and _rank(there, version) < _rank(row, version)
            if row["_record_id"] not in seen and (there is None or lower or there["_raw_file"] in gone):
                seen.add(row["_record_id"])
                self._fresh.append((row, row[_one(_TIME, text)].strftime(form), there is not None))


def _rank(row: Row, version: re.Match[str]) -> tuple[bool, Any]:
    """Rows without a version are lower than any."""
    value = row.get(version[1])
    return value is not None, value


def _within(row: Row, near: re.Match[str]) -> bool:
    moment: datetime = row[near[1]]
    return datetime.fromisoformat(near[2]) <= moment <= datetime.fromisoformat(near[3])


def _entry(values: str) -> LedgerRow:
    """A row of VALUES, in the order of the ledger's columns."""
    fields: list[Any] = [None if piece == "NULL" else piece.strip("'") for piece in values.split(", ")]
    fields[_NUMBERS] = [int(number) for number in fields[_NUMBERS]]
    for place in _MOMENTS:
        fields[place] = fields[place] and datetime.fromisoformat(fields[place])
    return tuple(fields)


def _catalogue(tables: dict[str, list[tuple[str, str]]]) -> list[tuple[Any, ...]]:
    return [(table, name, *_catalogued(kind), "YES") for table, cs in tables.items() for name, kind in cs]


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
