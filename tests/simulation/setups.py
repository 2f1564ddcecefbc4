"""How a run is set up: how many processes, with which settings, before which kind of queues. Drawn from its seed."""

from dataclasses import dataclass
from functools import cache

from service.core.errors import Code
from service.quarantine.portions import PORTION_BYTES
from service.settings import FLOW, LAYERS, LayerName, Settings
from tests.fakes.queue import INFLIGHT_MAX
from tests.fakes.world import settings
from tests.simulation.plan import Plan

DRAIN_SECONDS_MAX = 20.0
MEMORY_BYTES_MAX, MEMORY_BYTES_SHORT = 256 * 1024 * 1024, 2_048
CROWD_INFLIGHT_MAX, FEW_INFLIGHT_MAX = 12, 3
REJECTED_MAX = 200
"""More bad records than all producers of a run send, however often each is delivered."""
IMPATIENT_SHARE = 0.3
IMPATIENT = {"refine_rejected_max": 2, "load_rejected_max": 1, "rejected_pause_seconds": 20.0}
"""Datasets pause at the first bad records; once faults have stopped an operator takes these limits away."""
MAIL_REPEAT_SECONDS = 60.0
MAILS_HOUR_MAX = (20, 20, 2)
SPOILT: tuple[Code | None, ...] = (None, None, None, "unknown_dataset", "bad_json", "bad_time")


@dataclass(frozen=True, slots=True)
class Setup:
    """`turbulent` settings hold until faults stop, `calm` ones from then on."""

    seats: int
    """How many processes run side by side. Where the queue hands out little, a second one finds it empty."""
    turbulent: Settings
    calm: Settings
    impatient: bool
    inflight_max: int
    """SQS's ceiling."""
    old_receipts_work: bool
    mends: bool
    """Whether an operator mends the warehouse afterwards and sends the dead letters back."""
    looks_later: bool
    """Whether messages come once more when all is calm."""
    portion_bytes: int
    """Of originals of dead letters that are stored together."""
    spoils: str | None
    """Of which code the warehouse takes no error rows, until somebody mends it."""

    @classmethod
    def of(cls, plan: Plan) -> "Setup":
        """The set-up of that plan."""
        source = plan.random("setup")
        short = plan.crowded or source.random() < 0.5
        memory = MEMORY_BYTES_SHORT if short and not plan.narrow else MEMORY_BYTES_MAX
        calm = _settings(
            memory, source.choice((0, 15)), LAYERS if plan.quarantined else FLOW, source.choice(MAILS_HOUR_MAX)
        )
        impatient = source.random() < IMPATIENT_SHARE and bool(plan.drawn)
        few = FEW_INFLIGHT_MAX if source.random() < 0.25 else INFLIGHT_MAX
        return cls(
            seats=max(source.choice((1, 1, 2)), 2 if plan.narrow else 1),
            turbulent=calm.model_copy(update=IMPATIENT) if impatient else calm,
            calm=calm,
            impatient=impatient,
            inflight_max=CROWD_INFLIGHT_MAX if plan.narrow else INFLIGHT_MAX if plan.crowded else few,
            old_receipts_work=source.random() < 0.5,
            mends=source.random() < 0.5,
            looks_later=source.random() < 0.3 and not plan.peopled,
            portion_bytes=source.choice((PORTION_BYTES, 1)),
            spoils=source.choice(SPOILT) if plan.quarantined and not plan.peopled else None,
        )


@cache
def _settings(
    memory_bytes_max: int,
    load_copy_interval_seconds: int,
    layers: tuple[LayerName, ...],
    mails_hour_max: int,
) -> Settings:
    return settings(
        layers=layers,
        mail_repeat_seconds=MAIL_REPEAT_SECONDS,
        mails_hour_max=mails_hour_max,
        land_pollers=2,
        poll_seconds=10,
        visibility_seconds=90,
        drain_seconds_max=DRAIN_SECONDS_MAX,
        memory_bytes_max=memory_bytes_max,
        load_copy_interval_seconds=load_copy_interval_seconds,
        refine_rejected_max=REJECTED_MAX,
    )
