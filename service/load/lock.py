"""The ledger's lock: two loaders of one dataset take turns. Who waits in vain says for whom."""

from collections.abc import Mapping

from service.core.datasets import SERVICE_SCHEMA, Dataset
from service.core.errors import ContendedError, RejectedError, SetupError, TransientError
from service.core.events import LoadersMet
from service.core.ports import Means, Session, Warehouse
from service.load.statements import Statements, literal
from service.load.tables import LEDGER_PREFIX

SECONDS_USUAL = 1.0
"""A lock that nobody holds is given well within that."""


class NotGrantedError(TransientError):
    """The lock was not given before the statement's time was up, or before the connection was lost."""


class LedgerLock:
    """Takes it as a transaction's first statement."""

    def __init__(self, statements: Statements, warehouse: Warehouse, means: Means) -> None:
        self._statements = statements
        self._warehouse = warehouse
        self._means = means

    async def take(self, session: Session, dataset: Dataset, places: Mapping[str, str]) -> None:
        """Wait for it; raises NotGrantedError when that took longer than usual and failed."""
        asked = self._means.clock.monotonic()
        try:
            await session.execute(self._statements.render("ledger_lock", **places))
        except TransientError as down:
            if not self.waited_long(dataset, asked):
                raise
            raise NotGrantedError(down.dependency, down.reason) from down
        self.waited_long(dataset, asked)

    def waited_long(self, dataset: Dataset, asked: float) -> bool:
        """Whether more time has gone since then than an uncontended ledger takes; if so, it is told."""
        waited = self._means.clock.monotonic() - asked
        if waited >= SECONDS_USUAL:
            self._means.emit(LoadersMet(dataset.name, waited))
        return waited >= SECONDS_USUAL

    async def explained(self, dataset: Dataset, down: TransientError) -> ContendedError:
        """The same failure with the name of the holder, for an operator to look at.

        Asked in a transaction of its own, after the failed one; raises TransientError when the warehouse is away.
        """
        name = f"{LEDGER_PREFIX}{dataset.name}"
        places = {"schema": literal(SERVICE_SCHEMA), "table": literal(name)}
        try:
            async with self._warehouse.transaction() as session:
                rows = await session.fetch(self._statements.render("lock_holder", **places))
        except (RejectedError, SetupError):
            rows = []
        if not rows:
            who = "somebody whom this user may not see: as superuser, ask svv_transactions"
        else:
            pid, owner, since = rows[0]
            who = (
                f"process {pid} of user {owner} in a transaction begun at {since:%Y-%m-%d %H:%M:%S} UTC: if that "
                f"hangs, end it with SELECT pg_terminate_backend({pid})"
            )
        return ContendedError(down.dependency, f"{down.reason}; {SERVICE_SCHEMA}.{name} is locked by {who}")
