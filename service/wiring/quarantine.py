"""Layer 3: an intake for each dead-letter queue, and one mailer for all of them."""

import uuid
from collections.abc import Callable, Sequence

from service.core.batching import BatchLimits
from service.core.datasets import UNDEFINED
from service.core.dead_letter import Place
from service.core.errors import RejectedError, undefined
from service.core.events import LettersQuarantined
from service.core.model import Message, Sorted
from service.core.notice import FileNotice
from service.core.retry import Backoff
from service.intake.budget import Budget
from service.quarantine.arrivals import Check, Checks, Source
from service.quarantine.digest import MailLimits
from service.quarantine.mailer import Mailer
from service.quarantine.quarantine import Quarantine, Quarantined, Skills, Ways
from service.quarantine.records import Landed
from service.quarantine.states import States
from service.refine.accept import accepted as refine_accepted
from service.refine.execute import MEMORY_A_BYTE
from service.refine.pick import pick
from service.runtime import Worker
from service.wiring.flow import accepted, source
from service.wiring.parts import DEAD, Parts

MAIL_RETRY_SECONDS = (30.0, 900.0)


def quarantine_workers(parts: Parts, budget: Budget) -> list[tuple[str, Worker]]:
    """One for each dead-letter queue, and the mailer where there is somebody to mail to."""
    states = States(parts.zone("errors"), parts.means)
    workers = [(f"quarantine-{name}", _worker(parts, budget, name, states)) for name in DEAD]
    return [*workers, *_mailer(parts)]


def _worker(parts: Parts, budget: Budget, name: Source, states: States) -> Worker:
    settings = parts.settings

    def told(done: Quarantined) -> None:
        parts.means.emit(LettersQuarantined(f"quarantine-{name}", done.letters, done.records, done.about_errors))

    layer = Quarantine(
        name,
        zones=(parts.zone("raw"), parts.zone("errors")),
        datasets=parts.datasets,
        skills=Skills(_reader(parts), checks(parts)[name]),
        ways=Ways(parts.queue("load_queue"), parts.queue("reprocess_queue"), states),
        told=told,
        means=parts.means,
    )
    batch = BatchLimits(
        settings.quarantine_batch_records_max,
        settings.quarantine_batch_bytes_max,
        settings.quarantine_batch_seconds_max,
    )
    limits = parts.limits(batch, batches_max=1, one_at_a_time=True)
    return parts.intake(budget, layer, (DEAD[name], "reprocess_queue"), limits)


def _mailer(parts: Parts) -> list[tuple[str, Worker]]:
    if parts.notifier is None:
        return []
    settings = parts.settings
    mailer = Mailer(
        parts.notifier,
        zone=parts.zone("errors"),
        who=uuid.UUID(int=parts.jitter.getrandbits(128)).hex,
        limits=MailLimits(repeat_seconds=settings.mail_repeat_seconds, hour_max=settings.mails_hour_max),
        backoff=Backoff(*MAIL_RETRY_SECONDS, parts.jitter),
        means=parts.means,
        told=parts.means.emit,
    )
    return [("mailer", mailer)]


def checks(parts: Parts) -> Checks:
    """What each layer would say of a message, without the layer."""
    raw, names = parts.zone("raw"), frozenset(parts.datasets)
    return {
        "land": _check(source(parts).sorted),
        "refine": _check(lambda message: _defined(refine_accepted(message, raw, names))),
        "load": _check(lambda message: _defined(accepted(parts).sorted(message))),
    }


def _defined(given: Sorted[FileNotice]) -> None:
    if given.key == UNDEFINED:
        raise undefined()


def _check(sort: Callable[[Message], object]) -> Check:
    def check(message: Message) -> RejectedError | None:
        try:
            sort(message)
        except RejectedError as wrong:
            return wrong
        return None

    return check


def _reader(parts: Parts) -> Callable[[bytes, Sequence[Place]], Sequence[Landed | None]]:
    expanded_bytes_max = parts.settings.refine_memory_bytes_max // MEMORY_A_BYTE

    def read(raw: bytes, places: Sequence[Place]) -> list[Landed | None]:
        picked = pick(raw, places, expanded_bytes_max=expanded_bytes_max)
        return [None if one is None else Landed(*one) for one in picked]

    return read
