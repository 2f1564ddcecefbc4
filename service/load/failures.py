"""The view `acequia.failures`: what was rejected, by what it shares. A migration makes and remakes it.

The catalogue gives a view back in words of its own, so what was made is known by a checksum that is recorded with it.
"""

import hashlib
from collections.abc import Sequence

from service.core.datasets import SERVICE_SCHEMA
from service.core.ports import Statement
from service.load.catalogue import LiveColumn
from service.load.statements import Statements

FAILURES = "failures"
FAILURES_VIEW = f"{SERVICE_SCHEMA}.{FAILURES}"
"""Its name, also where its checksum is recorded."""
FAILURES_COLUMNS = (
    "fingerprint",
    "layer",
    "dataset",
    "code",
    "field",
    "sentence",
    "records",
    "records_open",
    "records_reprocessed",
    "records_resolved",
    "records_parked",
    "first_failed_at",
    "last_failed_at",
    "state",
)


class Failures:
    """The DDL of the view, beside the one that is there: `live` are its columns, `recorded` is its checksum."""

    def __init__(self, templates: Statements, live: Sequence[LiveColumn] | None, recorded: str | None) -> None:
        self.made = templates.render("failures_view")
        self._dropped = templates.render("failures_view_drop")
        self._live = live
        self._recorded = recorded
        self.checksum = hashlib.sha256(self.made.text.encode()).hexdigest()

    @property
    def differs(self) -> bool:
        """Whether it is not there, or not as it should be."""
        return self._live is None or self._recorded != self.checksum

    def removing(self) -> list[Statement]:
        """Away with it; nothing to do where it is not there."""
        return [] if self._live is None else [self._dropped]

    def making(self) -> list[Statement]:
        """The view. One of the same columns is replaced in place, which keeps its grants; Redshift takes no other."""
        same = self._live is not None and tuple(column.name for column in self._live) == FAILURES_COLUMNS
        return [*([] if same else self.removing()), self.made]
