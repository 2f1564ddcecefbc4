"""Events → one JSON line each on stdout, through structlog. No payload, no key, no secret: events hold none."""

import json
import logging
import re
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, TextIO

import structlog

from service.core import events
from service.core.events import Event

LEVELS: dict[type[Any], int] = {
    events.MessagesReceived: logging.DEBUG,
    events.QueueLooked: logging.DEBUG,
    events.QueueEmpty: logging.DEBUG,
    events.BatchFinished: logging.DEBUG,
    events.BatchLeft: logging.WARNING,
    events.MailFailed: logging.WARNING,
    events.ResolveFailed: logging.WARNING,
    events.WorkFailed: logging.WARNING,
    events.LayerPaused: logging.WARNING,
    events.SettlementFailed: logging.WARNING,
    events.ClaimsExpired: logging.WARNING,
    events.ShieldFailed: logging.WARNING,
    events.QueueCrowded: logging.WARNING,
    events.DatasetPaused: logging.ERROR,
    events.RecordsRejected: logging.WARNING,
}


class Log:
    """Writes events, and the rare thing that is no event (a bug's traceback)."""

    def __init__(self, *, level: str, stream: TextIO | None = None) -> None:
        self._printer = structlog.PrintLogger(stream if stream is not None else sys.stdout)
        self._logger = structlog.wrap_logger(
            self._printer,
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(),
            ],
            wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        )

    def record(self, event: Event) -> None:
        """One line, named for the event in words with underscores."""
        name = re.sub(r"(?<!^)(?=[A-Z])", "_", type(event).__name__).lower()
        self._logger.log(LEVELS.get(type(event), logging.INFO), name, **asdict(event))

    def metrics(self, document: Mapping[str, Any]) -> None:
        """One line at every level: metrics for CloudWatch are no message."""
        self._printer.msg(json.dumps({"event": "metrics", **document}))

    def bug(self, error: BaseException) -> None:
        """An error that nobody foresaw, with its traceback."""
        self._logger.error("unexpected_error", exc_info=error)
