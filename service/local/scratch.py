"""Temporary directories that the next run clears where this one was killed.

Each holds a lock for as long as its owner lives; whoever makes the next one removes those whose lock is free.
"""

import contextlib
import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

OWNER = ".owner"


@contextlib.contextmanager
def scratch_directory(prefix: str, place: Path | None = None) -> Iterator[Path]:
    """A private directory in `place` (the system's for temporary files by default), gone at the end of the block."""
    place = Path(tempfile.gettempdir()) if place is None else place
    _clear_abandoned(prefix, place)
    directory = Path(tempfile.mkdtemp(prefix=prefix, dir=place))
    try:
        with (directory / f"{OWNER}.new").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            Path(lock.name).rename(directory / OWNER)  # only now may others ask whether the lock is free
            try:
                yield directory
            finally:
                shutil.rmtree(directory)  # under the lock: else the next run might clear it at the same time
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _clear_abandoned(prefix: str, place: Path) -> None:
    for left in place.glob(f"{prefix}*"):
        with contextlib.suppress(OSError), (left / OWNER).open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left, ignore_errors=True)
