"""Redshift's own words about a refusal: which file it was, and what it said about it. Never a value.

A name in SYS_LOAD_ERROR_DETAIL is cut after 256 letters and may be percent-encoded; a message says `https://` where
the manifest said `s3://`. So names are compared by the object's key, and who is named is tried alone before it is
believed.
"""

from collections.abc import Iterable, Sequence
from urllib.parse import quote, unquote

from service.core.errors import RejectedError, SetupError, TransientError, without_quoted
from service.core.ports import Warehouse
from service.core.zones import split_uri
from service.load.ledger import Unit
from service.load.statements import Statements, listed, literal

FILE_NAME_LETTERS = 256

Row = tuple[str, str, str]
"""File, column, message."""


class Reasons:
    """Asks the warehouse why, where we may."""

    def __init__(self, statements: Statements, warehouse: Warehouse) -> None:
        self._statements = statements
        self._warehouse = warehouse

    async def named(self, units: Sequence[Unit], wrong: RejectedError) -> list[Unit]:
        """Units with a file that the refusal names, or that failed a COPY before."""
        names = [wrong.file] if wrong.file is not None else [row[0] for row in await self._rows(units)]
        return [unit for unit in units if any(_means(name, uri) for name in names for uri in unit.uris)]

    async def explained(self, unit: Unit, refused: RejectedError) -> RejectedError:
        """The refusal of this unit, with what the warehouse has written down about it.

        What stands in quotes is left out: it could be a value.
        """
        rows = [row for row in await self._rows([unit]) if any(_means(row[0], uri) for uri in unit.uris)]
        if not rows:
            return refused
        _, column, words = rows[0]
        return RejectedError(refused.code, f"{refused.sentence}: {without_quoted(words)}", column=column or None)

    async def _rows(self, units: Sequence[Unit]) -> list[Row]:
        names = listed(literal(name) for name in sorted({n for unit in units for n in _names(unit.uris)}))
        if not names:
            return []
        try:
            async with self._warehouse.transaction() as session:
                rows = await session.fetch(self._statements.render("load_errors", names=names))
        except (RejectedError, SetupError, TransientError):
            return []  # not permitted, or away: the plain refusal must do
        return [(file, column, words) for file, column, words in rows]


def _names(uris: Iterable[str]) -> Iterable[str]:
    for uri in uris:
        yield uri[:FILE_NAME_LETTERS]
        yield quote(uri, safe=":/")[:FILE_NAME_LETTERS]


def _means(name: str, uri: str) -> bool:
    plain = unquote(name)
    return split_uri(uri)[1] in plain or (len(name) >= FILE_NAME_LETTERS and uri.startswith(plain))
