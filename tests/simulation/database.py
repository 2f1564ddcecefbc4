"""What costs a process of the simulation more than the work itself, and is the same each time: kept from run to run.

DuckDB: opening a database costs more than a small file's work. Refine has one, whose statements replace what the last
file left (`CREATE OR REPLACE TEMP TABLE`), and whose settings are locked once; tables of errors have another, each with
a cursor of its own, because several are asked at a time. Parquet: what was read of the same bytes is not read again.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Self
from unittest import mock

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

KEPT_MAX = 4_000
"""Tables, and answers; a run has some hundred of each."""


class _One:
    """Stands where a fresh connection is expected, and is left open."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._set: set[str] = set()
        self._answers: dict[object, list[Any]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def execute(self, statement: str, *given: Any) -> Any:
        if "lock_configuration" not in statement:
            return self._connection.execute(statement, *given)
        if statement not in self._set:
            assert not self._set, "refine sets up every database in the same way"
            self._connection.execute(statement)
            self._set.add(statement)
        return None

    def cursor(self) -> "_Cursor":
        return _Cursor(self._connection.cursor(), self._answers)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


class _Cursor:
    """The same where several are open at once: what is temporary is each one's own.

    The same question about the same rows has the same answer, so it is asked once; until then nothing is set up.
    """

    def __init__(self, cursor: duckdb.DuckDBPyConnection, answers: dict[object, list[Any]]) -> None:
        self._cursor = cursor
        self._answers = answers
        self._tables: list[tuple[str, pa.Table]] = []
        self._views: list[str] = []
        self._about = b""

    def register(self, name: str, rows: pa.Table) -> None:
        """Remember it, and what is in it."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, rows.schema) as stream:
            stream.write_table(rows)
        self._about = hashlib.sha256(sink.getvalue()).digest()
        self._tables.append((name, rows))

    def execute(self, statement: str, given: Mapping[str, Any] | None = None) -> "_Answer":
        """Set up now or later; or the answer."""
        if "lock_configuration" in statement:
            return _Answer([])
        if statement.lstrip().startswith("CREATE"):
            self._views.append(statement)
            return _Answer([])
        key = self._about, statement, repr(given)
        if key not in self._answers:
            if len(self._answers) >= KEPT_MAX:
                self._answers.clear()
            self._set_up()
            self._answers[key] = self._cursor.execute(statement, given).fetchall()
        return _Answer(self._answers[key])

    def _set_up(self) -> None:
        for name, rows in self._tables:
            self._cursor.register(name, rows)
        for view in self._views:
            self._cursor.execute(view)
        self._tables, self._views = [], []


@dataclass(frozen=True, slots=True)
class _Answer:
    rows: list[Any]

    def fetchall(self) -> list[Any]:
        """A list of the caller's own."""
        return [*self.rows]


@contextmanager
def one_database() -> Iterator[None]:
    """Within, `duckdb.connect` gives refine the same database each time, and tables of errors share another."""
    opened: dict[bool, _One] = {}
    connect = duckdb.connect

    def again(*, config: Any) -> _One | _Cursor:
        errors = config["memory_limit"] == "1GB"  # refine's is counted in bytes
        if errors not in opened:
            opened[errors] = _One(connect(config=config))
        return opened[errors].cursor() if errors else opened[errors]

    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(duckdb, "connect", again))
        stack.enter_context(mock.patch.object(pq, "read_table", _Reading()))
        try:
            yield
        finally:
            for one in opened.values():
                one.close()


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
