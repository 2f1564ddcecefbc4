"""A warehouse in memory, for the `Warehouse` port: it answers by statement name, and keeps rows only at COMMIT.

It does what the statements mean, with Redshift's rules that matter here: a locked ledger makes whoever locks or reads
it wait for the end of the transaction; a transaction sees what was committed when it first looked (LOCK is no look);
COPY reads the manifest's objects, all or nothing, but for those that are not mandatory; keys are not enforced, so two
transactions may insert the same; a transaction that does not commit leaves nothing.
"""

import io
import json
import re
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from typing import Any

import pyarrow.parquet as pq

from service.core.datasets import Dataset
from service.core.errors import RejectedError, SetupError
from service.core.errors_dataset import ERRORS
from service.core.ports import Statement
from service.load.tables import LEDGER_COLUMNS, LEDGER_PREFIX
from tests.fakes.journal import Journal
from tests.fakes.store import FakeStore
from tests.fakes.tables import LedgerRow, Part, Row, State

_MANIFEST = re.compile(r"FROM '([^']+)'")
_TABLE = re.compile(r'"(?:lake|acequia)"\."(?!load_ledger_)(\w+)"')
_LEDGER = re.compile(r'"acequia"\."load_ledger_(\w+)"')
_TEXT = re.compile(r"'([^']*)'")
_ENTRY = re.compile(r"\(('[^()]*)\)")
_VERSION = re.compile(r'present\."(\w+)" < staged')
_REPLAYED = re.compile(r"present\._raw_file IN \(([^)]*)\)")
_NEAR = re.compile(r"""present\."(\w+)" BETWEEN '([^']+)' AND '([^']+)'""")
_TIME = re.compile(r'TO_CHAR\(staged\."(\w+)"')
WORDS = "Invalid value 'secret' for the column"
_MOMENTS, _NUMBERS = (8, 10, 11), slice(2, 7)


class FakeWarehouse:
    """Tables and ledgers. `refuse` names raw files whose rows COPY refuses."""

    def __init__(self, journal: Journal, store: FakeStore, datasets: Iterable[Dataset]) -> None:
        self._journal = journal
        self._store = store
        self._state = State()
        self.columns = {dataset.name: list(dataset.stored_columns) for dataset in datasets}
        """The live tables: change them to see what a loader does about it."""
        self.ledgers = {f"{LEDGER_PREFIX}{name}": list(LEDGER_COLUMNS) for name in (*self.columns, ERRORS.name)}
        self.ledgers[ERRORS.name] = list(ERRORS.stored_columns)
        """The live tables of the service's own schema, likewise."""
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
        return {entry[0]: entry for entry in self.ledger_rows(dataset)}

    def ledger_rows(self, dataset: str) -> list[LedgerRow]:
        """All rows of the ledger, which nothing but its loaders keeps from holding a file twice."""
        return self._state.ledger.get(dataset, [])

    def ledger(self, dataset: str) -> dict[str, tuple[int, int, int]]:
        """Rows, inserted and duplicate, by file."""
        assert len(self.entries(dataset)) == len(self.ledger_rows(dataset)), "a file is in the ledger twice"
        return {uri: entry[2:5] for uri, entry in self.entries(dataset).items()}

    @asynccontextmanager
    async def transaction(self, temporary: set[str] | None = None) -> AsyncIterator["FakeSession"]:
        """Everything or nothing. `temporary` tables are those that the connection has from its last transaction."""
        async with AsyncExitStack() as locks:
            session = FakeSession(self, self._store, self._state, locks, set() if temporary is None else temporary)
            self._journal.before("warehouse begin")
            yield session
            with self._journal.act("warehouse commit") as done:
                session.commit()
                done.extend(entry[0] for name in session.ledgers for entry in self.ledger_rows(name))

    async def run(self, statement: Statement) -> None:
        """Nothing of the flow runs outside a transaction; it is noted."""
        with self._journal.act(f"warehouse {statement.name}"):
            return

    @property
    def journal(self) -> Journal:
        """Where everything is noted."""
        return self._journal


class FakeSession:
    """A transaction: what it does is its own until COMMIT."""

    def __init__(
        self, warehouse: FakeWarehouse, store: FakeStore, state: State, locks: AsyncExitStack, temporary: set[str]
    ) -> None:
        self._warehouse = warehouse
        self._store = store
        self._state = state
        self._locks = locks
        self._temporary = temporary
        self._locked: set[str] = set()
        self._seen: tuple[dict[str, list[Row]], dict[str, list[LedgerRow]]] | None = None
        self._staged: list[Row] = []
        self._fresh: list[tuple[Row, str, bool]] = []
        self.tables: dict[str, Part[Row]] = {}
        self.ledgers: dict[str, Part[LedgerRow]] = {}

    async def execute(self, statement: Statement) -> None:
        """Run it for its effect."""
        with self._warehouse.journal.act(f"warehouse {statement.name}"):
            if statement.name == "ledger_lock":
                ledger = _one(_LEDGER, statement.text)
                await self._locks.enter_async_context(self._state.lock(ledger))
                self._locked.add(ledger)
            else:
                self._look()
                self._execute(statement.name, statement.text)

    async def fetch(self, statement: Statement) -> list[tuple[Any, ...]]:
        """Run it for its rows."""
        with self._warehouse.journal.act(f"warehouse {statement.name}"):
            self._look()
            if statement.name == "ledger_known" and (ledger := _one(_LEDGER, statement.text)) not in self._locked:
                async with self._state.lock(ledger):
                    pass
            return self._fetch(statement)

    def shorten(self) -> bool:
        """Have COPY left out a row, and told nobody; whether it had one."""
        return bool(self._staged and self._staged.pop())

    def commit(self) -> None:
        """Do to what is there now what the transaction did to what it saw."""
        for name, table in self.tables.items():
            self._state.tables[name] = table.onto(self._state.tables.get(name, []))
        for name, ledger in self.ledgers.items():
            self._state.ledger[name] = ledger.onto(self._state.ledger.get(name, []))

    def _look(self) -> None:
        """From now on this is what there is."""
        if self._seen is None:
            self._seen = dict(self._state.tables), dict(self._state.ledger)

    def _execute(self, name: str, text: str) -> None:
        acts: dict[str, Callable[[str], None]] = {
            "copy": self._copy,
            "fresh_create": self._choose,
            "fresh_insert": lambda text: self._table(text).add(row for row, _, _ in self._fresh),
            "replayed_delete": self._delete_replayed,
            "older_delete": self._delete_older,
            "ledger_remove": self._forget,
            "ledger_add": self._enter,
        }
        table, _, verb = name.rpartition("_")
        if verb == "create" and table in self._temporary:
            raise SetupError(f"warehouse: there is a table {table} already")
        if verb == "create":
            self._temporary.add(table)
        if verb == "drop":
            self._temporary.remove(table)
        elif name != "stage_create":
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
            "loaded": self._loaded,
            "committed": lambda text: [(entry[0], entry[9], entry[8], *entry[10:12]) for entry in self._known(text)],
        }
        return answers[statement.name](statement.text)

    def _loaded(self, text: str) -> list[tuple[Any, ...]]:
        asked = set(_TEXT.findall(text))
        return [(len({row["_record_id"] for row in self._table(text).seen} & asked),)]

    def _known(self, text: str) -> list[tuple[Any, ...]]:
        asked = set(_TEXT.findall(text))
        return [entry for entry in self._ledger(text).seen if {entry[0], entry[9]} & asked]

    def _forget(self, text: str) -> None:
        gone = set(_TEXT.findall(text))
        self._ledger(text).delete(lambda entry: entry[0] in gone)

    def _enter(self, text: str) -> None:
        self._ledger(text).add(_entry(values) for values in _ENTRY.findall(text.partition("VALUES")[2]))

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
        self._table(text).delete(lambda row: row["_raw_file"] in gone)

    def _delete_older(self, text: str) -> None:
        ids = {row["_record_id"] for row, _, replacing in self._fresh if replacing}
        self._table(text).delete(lambda row: row["_record_id"] in ids)

    def _table(self, text: str) -> Part[Row]:
        assert self._seen is not None
        name = _one(_TABLE, text)
        return self.tables.setdefault(name, Part(self._seen[0].get(name, [])))

    def _ledger(self, text: str) -> Part[LedgerRow]:
        assert self._seen is not None
        name = _one(_LEDGER, text)
        return self.ledgers.setdefault(name, Part(self._seen[1].get(name, [])))

    def _copy(self, text: str) -> None:
        manifest = json.loads(self._store.objects[_one(_MANIFEST, text)])
        self._warehouse.copies.append(len(manifest["entries"]))
        for entry in manifest["entries"]:
            body = self._store.objects.get(entry["url"])
            if body is None and not entry["mandatory"]:
                continue
            if body is None:
                raise RejectedError("load_refused", "the warehouse refused the data: file not found")
            assert entry["meta"]["content_length"] == len(body)
            rows = pq.ParquetFile(io.BytesIO(body)).read(use_threads=False).to_pylist()
            if any(self._warehouse.refuses(row) for row in rows):
                raise RejectedError("load_refused", "the warehouse refused the data")
            self._staged.extend(rows)

    def _choose(self, text: str) -> None:
        """The rows that go in, with their file's moment and whether they take another row's place."""
        version, replayed, near = (pattern.search(text) for pattern in (_VERSION, _REPLAYED, _NEAR))
        gone = set(_TEXT.findall(replayed[1])) if replayed else set()
        near_rows = [row for row in self._table(text).seen if near is None or _within(row, near)]
        present = {row["_record_id"]: row for row in near_rows}
        probed, once = "present._record_id IS NULL" in text, "_nth = 1" in text
        order = sorted(self._staged, key=lambda row: (row["_received_at"], row["_raw_file"]))
        if version is not None:
            order.sort(key=lambda row: _rank(row, version), reverse=True)  # keeps the order of equals
        form = "%Y-%m-%d %H" if "HH24" in text else "%Y-%m-%d"
        seen = set()
        for row in order:
            there = present.get(row["_record_id"])
            lower = version is not None and there is not None and _rank(there, version) < _rank(row, version)
            wanted = not probed or there is None or lower or there["_raw_file"] in gone
            if wanted and not (once and row["_record_id"] in seen):
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
