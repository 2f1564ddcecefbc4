"""S3 in memory, for the `ObjectStore` port."""

import hashlib
from collections.abc import Sequence

from service.core.errors import RejectedError
from service.core.ports import Stored
from tests.fakes.journal import Journal


class FakeStore:
    """Objects written once."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.objects: dict[str, bytes] = {}

    async def put_new(self, uri: str, body: bytes) -> Stored:
        """Store, or describe what lies there."""
        with self._journal.act(f"put {_short(uri)}") as done:
            new = uri not in self.objects
            kept = self.objects.setdefault(uri, body)
            done.extend([uri, hashlib.md5(kept).hexdigest()])
        return Stored(uri, hashlib.md5(kept).hexdigest(), len(kept), new)

    async def describe(self, uri: str) -> Stored | None:
        """What lies there."""
        self._journal.before(f"describe {_short(uri)}")
        kept = self.objects.get(uri)
        return None if kept is None else Stored(uri, hashlib.md5(kept).hexdigest(), len(kept))

    async def get(self, uri: str) -> bytes:
        """A whole object."""
        self._journal.before(f"get {_short(uri)}")
        if uri not in self.objects:
            raise RejectedError("missing_object", "nothing lies at the object's address")
        return self.objects[uri]

    async def remove(self, uris: Sequence[str]) -> None:
        """Remove what lies there, one at a time."""
        for uri in uris:
            with self._journal.act(f"remove {_short(uri)}") as done:
                self.objects.pop(uri, None)
                done.append(uri)


def _short(uri: str) -> str:
    """The zone and the partition; file names hold batch ids, which differ from run to run."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return f"{bucket} {key.rpartition('/')[0]}"
