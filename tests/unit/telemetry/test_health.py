"""Readiness follows the events."""

import pytest

from service.core.events import (
    ClaimsExpired,
    Event,
    LayerPaused,
    LayerResumed,
    ServiceDraining,
    ServiceStarted,
    ServiceStopped,
)
from service.telemetry.health import Health

STARTED = ServiceStarted(("land", "load"), 9100)


@pytest.mark.parametrize(
    ("seen", "reasons"),
    [
        ([], {"service": "starting"}),
        ([STARTED], {}),
        ([STARTED, LayerPaused("load", "redshift: away")], {"load": "redshift: away"}),
        ([STARTED, LayerPaused("load", "away"), LayerPaused("land", "s3")], {"load": "away", "land": "s3"}),
        ([STARTED, LayerPaused("load", "away"), LayerResumed("load")], {}),
        ([STARTED, LayerPaused("load", "away"), LayerResumed("land")], {"load": "away"}),
        ([LayerPaused("load", "away"), STARTED], {"load": "away"}),
        ([STARTED, ServiceDraining("SIGTERM", 100)], {"service": "draining"}),
        ([STARTED, ServiceDraining("SIGTERM", 100), ServiceStopped(0)], {"service": "draining"}),
        ([STARTED, ClaimsExpired("land", 1)], {}),
    ],
)
def test_the_reasons_for_not_being_ready(seen: list[Event], reasons: dict[str, str]) -> None:
    health = Health()
    for event in seen:
        health.record(event)
    assert health.reasons() == reasons


def test_reading_the_reasons_gives_a_copy() -> None:
    health = Health()
    health.reasons().clear()
    assert health.reasons() == {"service": "starting"}
