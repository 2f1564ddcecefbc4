"""Before COPY: does what the notices say agree with what lies in S3 and with the live table?

A file that is gone or is another one costs that file. A table that does not take the files' columns is nobody's bad
data: its dataset waits for an operator, and the others go on. A COPY would tell the same later, for the whole group,
and after taking the ledger's lock.
"""

from collections.abc import Mapping, Sequence

from service.core.datasets import LAKE_SCHEMA, SERVICE_SCHEMA, Dataset
from service.core.errors import DatasetSetupError, RejectedError, SetupError
from service.core.notice import File
from service.core.ports import Means, Stored, Warehouse
from service.load.catalogue import Live, problems, read_catalogue
from service.load.statements import Statements
from service.load.tables import LEDGER_COLUMNS, LEDGER_PREFIX, shown

CATALOGUE_SECONDS_MAX = 60.0
"""How old our picture of the tables may be. A table changes with a migration; a wrong picture costs a refused COPY."""


class Preflight:
    """Looks before we leap."""

    def __init__(self, statements: Statements, *, warehouse: Warehouse, large_strings: bool, means: Means) -> None:
        self._statements = statements
        self._warehouse = warehouse
        self._large_strings_unsure = large_strings
        self._means = means
        self._live: Mapping[str, Live] = {}
        self._read_at = float("-inf")

    async def table(self, dataset: Dataset, columns: Sequence[tuple[str, str]]) -> None:
        """Make sure that the live table takes these columns; raises DatasetSetupError with what to do.

        Where the settings count on large strings, the cluster must have them: else SetupError.
        """
        if self._large_strings_unsure:
            await self._large_strings()
            self._large_strings_unsure = False
        await self._look()
        book = f"{LEDGER_PREFIX}{dataset.name}"
        needed = [one for one in dataset.stored_columns if one[0] == dataset.version and one[0] not in dict(columns)]
        table, ledger = self._live[dataset.schema].get(dataset.name), self._live[SERVICE_SCHEMA].get(book)
        wrong = [
            *problems([*columns, *needed], table, shown(dataset), dataset.never_null),
            *problems(LEDGER_COLUMNS, ledger, f"{SERVICE_SCHEMA}.{book}", {*dict(LEDGER_COLUMNS)}),
        ]
        if wrong:
            self._read_at = float("-inf")  # it may be mended before the next try
            raise DatasetSetupError(f"warehouse: {wrong[0]}")

    async def files(self, files: Sequence[File]) -> dict[str, RejectedError]:
        """What is wrong with which file, by address; nothing for those that lie there as announced."""
        found = await self._means.fan_out.run(self._means.store.describe(file.uri) for file in files)
        judged = ((file.uri, _fault(file, stored)) for file, stored in zip(files, found, strict=True))
        return {uri: wrong for uri, wrong in judged if wrong is not None}

    async def _large_strings(self) -> None:
        async with self._warehouse.transaction() as session:
            [[enabled]] = await session.fetch(self._statements.render("large_strings"))
        if not enabled:
            raise SetupError(
                "warehouse: ACEQUIA_SUPER_STRING_BYTES_MAX is above 65535, but the cluster has large strings switched "
                "off: set its parameter enable_large_strings_opt_in to Yes (a provisioned cluster needs a reboot)"
            )

    async def _look(self) -> None:
        now = self._means.clock.monotonic()
        if now - self._read_at > CATALOGUE_SECONDS_MAX:
            self._live = {
                schema: await read_catalogue(self._warehouse, self._statements, schema)
                for schema in (LAKE_SCHEMA, SERVICE_SCHEMA)
            }
            self._read_at = now


def _fault(file: File, stored: Stored | None) -> RejectedError | None:
    if stored is None:
        return RejectedError("missing_object", "the file that the notice names is gone")
    if (stored.content_length_bytes, stored.etag) != (file.content_length_bytes, file.etag):
        return RejectedError("bad_file", "the file is another one than the notice says: other length or ETag")
    return None
