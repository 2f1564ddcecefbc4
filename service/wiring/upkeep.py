"""What replay and reconcile work with."""

from service.load.statements import Statements, literal
from service.load.tables import ledger, target
from service.refine.count import count
from service.upkeep.books import QUESTIONS, Sql
from service.upkeep.tools import Held, Tools
from service.wiring.parts import DEAD, Parts


def upkeep(parts: Parts) -> Tools:
    """Everything that the commands touch."""
    settings, means = parts.settings, parts.means
    statements = Statements.load(settings.sql_directory / "statements" / "upkeep.sql", expected=QUESTIONS)

    def held(raw: bytes) -> Held:
        return Held(*count(raw, settings.refine_memory_bytes_max))

    return Tools(
        datasets=parts.datasets,
        store=means.store,
        raw=parts.zone("raw"),
        refined=parts.zone("refined"),
        errors=parts.zone("errors"),
        warehouse=parts.warehouse,
        sql=Sql(statements, literal, lambda dataset: (ledger(dataset.name), target(dataset))),
        refine_queue=parts.queue("refine_queue"),
        load_queue=parts.queue("load_queue"),
        dead={name: parts.queue(field) for name, field in DEAD.items()},
        count=held,
        threads=means.threads,
        clock=means.clock,
    )
