"""What passed through the proxy, in order, as JSON lines: all that the checker knows of the workers' doings.

A call leaves several entries. `asked`: it arrived. `fault`: a rule took it. `done`: the server behind has answered, so
its effect is there. `told`: the answer was passed on. A call that is `done` but not `told` is one that the worker does
not know the end of.
"""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

What = Literal["asked", "fault", "done", "told"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One line. `at` is monotonic seconds; `call` joins the entries of one call."""

    number: int
    at: float
    what: What
    call: int
    worker: str
    service: str
    operation: str
    target: str
    facts: dict[str, Any] = field(default_factory=dict)


class History:
    """Writes entries, and reads back what is written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("w")
        self.count = 0

    def write(self, what: What, call: int, place: tuple[str, str, str, str], facts: dict[str, Any]) -> None:
        """Put down one entry; `place` is worker, service, operation and target."""
        self.count += 1
        entry = Entry(self.count, time.monotonic(), what, call, *place, facts)
        self._file.write(f"{json.dumps(asdict(entry))}\n")
        self._file.flush()

    def read(self) -> list[Entry]:
        """Everything so far, from the file."""
        with self._path.open() as file:
            return [Entry(**json.loads(line)) for line in file]

    def close(self) -> None:
        """Write no more."""
        self._file.close()


def chosen(
    history: Sequence[Entry],
    what: What,
    operation: str = "",
    target: str = "",
    *,
    service: str = "",
    worker: str = "",
) -> Iterator[Entry]:
    """The entries of a kind; an empty text is any, a target is part of theirs."""
    for entry in history:
        if (
            entry.what == what
            and operation in ("", entry.operation)
            and service in ("", entry.service)
            and worker in ("", entry.worker)
            and target in entry.target
        ):
            yield entry
