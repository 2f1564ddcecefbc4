"""Whether anything is being made durable right now, all layers together."""

from collections.abc import Callable


class Busy:
    """Counts the pieces of work that are under way; entered around each."""

    def __init__(self) -> None:
        self._under_way = 0
        self._watchers: list[Callable[[], None]] = []

    def __bool__(self) -> bool:
        return self._under_way > 0

    def __enter__(self) -> None:
        self._under_way += 1
        if self._under_way == 1:
            self._tell()

    def __exit__(self, *_: object) -> None:
        self._under_way -= 1
        if self._under_way == 0:
            self._tell()

    def watch(self, watcher: Callable[[], None]) -> None:
        """Have it called when the first piece of work begins and when the last one ends."""
        self._watchers.append(watcher)

    def _tell(self) -> None:
        for watcher in self._watchers:
            watcher()
