"""One DuckDB database for all of refine's work in this process: opening one costs more than a small file's work.

Its statements replace what the last file left (`CREATE OR REPLACE TEMP TABLE`), and its settings are locked once.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self
from unittest import mock

import duckdb


class _One:
    """Stands where refine expects a fresh connection, and is left open."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._set: set[str] = set()

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

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


@contextmanager
def one_database() -> Iterator[None]:
    """Within, `duckdb.connect` gives refine the same database each time it asks with the same configuration."""
    opened: dict[str, _One] = {}
    connect = duckdb.connect

    def again(*, config: Any) -> _One:
        if not opened:
            opened[repr(config)] = _One(connect(config=config))
        return opened[repr(config)]

    with mock.patch.object(duckdb, "connect", again):
        try:
            yield
        finally:
            for one in opened.values():
                one.close()
