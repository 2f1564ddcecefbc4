"""S3 in memory, for the `ObjectStore` port."""

import hashlib
from collections.abc import AsyncIterator, Sequence
from datetime import datetime

from service.core.errors import RejectedError
from service.core.ports import Listed, Stored
from tests.fakes.journal import Journal
from tests.fakes.queue import EPOCH
from tests.fakes.time import LoopClock

KEYS_A_PAGE_MAX = 1_000


class FakeStore:
    """Objects, most of them written once."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.objects: dict[str, bytes] = {}
        self.stored_at: dict[str, datetime] = {}
        """When each was stored, in whole seconds; what a test lays down by hand is as old as the epoch."""
        self.keys_a_page_max = KEYS_A_PAGE_MAX

    async def put_new(self, uri: str, body: bytes) -> Stored:
        """Store, or describe what lies there."""
        with self._journal.act(f"put {_short(uri)}") as done:
            new = uri not in self.objects
            if new:
                self._stamp(uri)
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
                self.stored_at.pop(uri, None)
                done.append(uri)

    async def pages(self, prefix: str) -> AsyncIterator[Sequence[Listed]]:
        """Each page shows the store as it is when the page is asked for."""
        last = ""
        while True:  # ends with the last page
            self._journal.before(f"list {_short(prefix)}")
            uris = sorted(uri for uri in self.objects if uri.startswith(prefix) and uri > last)
            page = uris[: self.keys_a_page_max]
            if page:
                yield [Listed(uri, len(self.objects[uri]), self.stored_at.get(uri, EPOCH)) for uri in page]
            if page == uris:
                return
            last = page[-1]

    async def read(self, uri: str) -> tuple[bytes, str] | None:
        """A whole object and its etag."""
        self._journal.before(f"read {_short(uri)}")
        kept = self.objects.get(uri)
        return None if kept is None else (kept, hashlib.md5(kept).hexdigest())

    async def replace(self, uri: str, body: bytes, *, etag: str | None) -> str | None:
        """Compare and set. Being too late is no effect, so it is not in the journal."""
        effect = f"replace {_short(uri)}"
        kept, new = self.objects.get(uri), hashlib.md5(body).hexdigest()
        if (None if kept is None else hashlib.md5(kept).hexdigest()) != etag:
            self._journal.before(effect)
            return new if kept == body else None
        with self._journal.act(effect) as done:
            self._stamp(uri)
            self.objects[uri] = body
            done.extend([uri, new])
        return new

    def _stamp(self, uri: str) -> None:
        self.stored_at[uri] = LoopClock().now().replace(microsecond=0)


def _short(uri: str) -> str:
    """The zone and the partition; file names hold batch ids, which differ from run to run."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return f"{bucket} {key.rpartition('/')[0]}"
