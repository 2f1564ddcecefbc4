"""Before COPY: does what the notices say agree with what lies in S3 and with the live table?

A file that is gone or is another one costs that file. A table that does not take the files' columns is nobody's bad
data: its dataset waits for an operator, and the others go on. A COPY would tell the same later, for the whole group,
and after taking the ledger's lock.
"""

from collections.abc import Sequence

from service.core.errors import DatasetSetupError, RejectedError
from service.core.notice import File
from service.core.ports import Means, Stored, Warehouse
from service.load.catalogue import Live, problems, read_catalogue
from service.load.statements import Statements
from service.load.tables import LAKE_SCHEMA

CATALOGUE_SECONDS_MAX = 60.0
"""How old our picture of the tables may be. A table changes with a migration; a wrong picture costs a refused COPY."""


class Preflight:
    """Looks before we leap."""

    def __init__(self, statements: Statements, *, warehouse: Warehouse, means: Means) -> None:
        self._statements = statements
        self._warehouse = warehouse
        self._means = means
        self._live: Live = {}
        self._read_at = float("-inf")

    async def table(self, dataset: str, columns: Sequence[tuple[str, str]]) -> None:
        """Make sure that the live table takes these columns; raises DatasetSetupError with what to do."""
        wrong = problems(columns, (await self._tables()).get(dataset), f"{LAKE_SCHEMA}.{dataset}")
        if wrong:
            self._read_at = float("-inf")  # it may be mended before the next try
            raise DatasetSetupError(f"warehouse: {wrong[0]}")

    async def files(self, files: Sequence[File]) -> dict[str, RejectedError]:
        """What is wrong with which file, by address; nothing for those that lie there as announced."""
        found = await self._means.fan_out.run(self._means.store.describe(file.uri) for file in files)
        judged = ((file.uri, _fault(file, stored)) for file, stored in zip(files, found, strict=True))
        return {uri: wrong for uri, wrong in judged if wrong is not None}

    async def _tables(self) -> Live:
        now = self._means.clock.monotonic()
        if now - self._read_at > CATALOGUE_SECONDS_MAX:
            self._live = await read_catalogue(self._warehouse, self._statements, LAKE_SCHEMA)
            self._read_at = now
        return self._live


def _fault(file: File, stored: Stored | None) -> RejectedError | None:
    if stored is None:
        return RejectedError("missing_object", "the file that the notice names is gone")
    if (stored.content_length_bytes, stored.etag) != (file.content_length_bytes, file.etag):
        return RejectedError("bad_file", "the file is another one than the notice says: other length or ETag")
    return None
