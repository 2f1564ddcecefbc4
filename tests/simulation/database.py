"""What costs a process of the simulation more than the work itself, and is the same each time: kept from run to run.

DuckDB: opening a database costs more than a small file's work. So refine has one, whose statements replace what the
last file left (`CREATE OR REPLACE TEMP TABLE`), and tables of errors have another, each with a cursor of its own,
because several are asked at a time. Long statements are parsed once. And what was asked about the same rows after the
same statements is not asked again: a rehearsal judges the same few records over and over. Parquet: what was read of the
same bytes is not read again.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Self
from unittest import mock

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

WITHOUT_PLANS = "PRAGMA disable_optimizer"
"""A better plan costs more than it saves with a handful of rows. The tests of refine and of error tables have it on."""
KEPT_MAX = 4_000
"""Tables, and answers; a run has some hundred of each."""


@dataclass
class _Database:
    """One that stays open, what is known of its statements, and what was asked before."""

    connection: duckdb.DuckDBPyConnection
    set_up: str | None = None
    _parsed: dict[str, duckdb.Statement] = field(default_factory=dict)
    _answers: dict[object, Any] = field(default_factory=dict)

    def parsed(self, statement: str) -> duckdb.Statement:
        """Ready to be bound and run; of one statement only."""
        if statement not in self._parsed:
            [self._parsed[statement]] = self.connection.extract_statements(statement)
        return self._parsed[statement]

    def answer(self, key: object, ask: Callable[[], Any]) -> Any:
        """What was answered before; what fails is asked each time."""
        if key not in self._answers:
            if len(self._answers) >= KEPT_MAX:
                self._answers.clear()
            self._answers[key] = ask()
        return self._answers[key]


class _Connection:
    """Stands where a fresh connection is expected. What changes its tables is put off until a question needs it."""

    def __init__(self, database: _Database, connection: duckdb.DuckDBPyConnection) -> None:
        self._database = database
        self._connection = connection
        self._put_off: list[Callable[[], object]] = []
        self._told = hashlib.sha256()
        """Of all that was registered and changed: the same tables give the same answers."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def register(self, name: str, rows: pa.Table) -> None:
        """Remember it, and what is in it."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, rows.schema) as stream:
            stream.write_table(rows)
        self._told.update(sink.getvalue())
        self._change(name, lambda: self._connection.register(name, rows))

    def execute(self, statement: str, given: Mapping[str, Any] | None = None) -> "_Asked":
        """A change is put off; the answer to a question comes when it is fetched."""
        if "lock_configuration" in statement:
            self._set_up(statement)
        elif statement.lstrip().startswith(("CREATE", "DELETE")):
            run = self._database.parsed(statement.replace("CREATE TEMP VIEW", "CREATE TEMP TABLE"))
            self._change((statement, repr(given)), lambda: self._connection.execute(run, given))
        return _Asked(self, statement, given)

    def sql(self, statement: str) -> "_Asked":
        """A question without parameters."""
        return _Asked(self, statement, None)

    def answer(self, statement: str, given: Mapping[str, Any] | None, fetched: str) -> Any:
        """To a question about the tables as they are now, as rows or as Arrow."""

        def ask() -> Any:
            for change in self._put_off:
                change()
            self._put_off.clear()
            if fetched == "to_arrow_table":
                return self._connection.sql(statement).to_arrow_table()
            return self._connection.execute(self._database.parsed(statement), given).fetchall()

        return self._database.answer((self._told.digest(), statement, repr(given), fetched), ask)

    def _set_up(self, statement: str) -> None:
        if self._database.set_up is None:
            self._connection.execute(WITHOUT_PLANS)
            self._connection.execute(statement)
            self._database.set_up = statement
        assert statement == self._database.set_up, "every database of a kind is set up in the same way"

    def _change(self, what: object, change: Callable[[], object]) -> None:
        self._told.update(repr(what).encode())
        self._put_off.append(change)


@dataclass(frozen=True, slots=True)
class _Asked:
    connection: _Connection
    statement: str
    given: Mapping[str, Any] | None

    def fetchall(self) -> list[Any]:
        """A list of the caller's own."""
        return [*self.connection.answer(self.statement, self.given, "fetchall")]

    def to_arrow_table(self) -> pa.Table:
        """A table, which nobody changes."""
        return self.connection.answer(self.statement, self.given, "to_arrow_table")


@contextmanager
def one_database() -> Iterator[None]:
    """Within, `duckdb.connect` gives refine the same database each time, and tables of errors share another."""
    opened: dict[bool, _Database] = {}
    connect = duckdb.connect

    def again(*, config: Any) -> _Connection:
        errors = config["memory_limit"] == "1GB"  # refine's is counted in bytes
        if errors not in opened:
            opened[errors] = _Database(connect(config=config))
        kept = opened[errors]
        return _Connection(kept, kept.connection.cursor() if errors else kept.connection)

    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(duckdb, "connect", again))
        stack.enter_context(mock.patch.object(pq, "read_table", _Reading()))
        try:
            yield
        finally:
            for one in opened.values():
                one.connection.close()


class _Reading:
    """`pyarrow.parquet.read_table`, which forgets nothing for a while. What cannot be read fails each time."""

    def __init__(self) -> None:
        self._read = pq.read_table
        self._known: dict[object, pa.Table] = {}

    def __call__(
        self,
        source: pa.BufferReader,
        *,
        columns: Sequence[str] | None = None,
        schema: pa.Schema | None = None,
        read_dictionary: Sequence[str] = (),
    ) -> pa.Table:
        digest = hashlib.sha256(source.read_buffer()).digest()
        key = digest, columns and tuple(columns), schema and schema.to_string(), tuple(read_dictionary)
        if key not in self._known:
            source.seek(0)
            given: dict[str, Any] = {"read_dictionary": [*read_dictionary]} if read_dictionary else {}
            table = self._read(source, columns=columns, schema=schema, use_threads=False, **given)
            if len(self._known) >= KEPT_MAX:
                self._known.clear()
            self._known[key] = table
        return self._known[key]
