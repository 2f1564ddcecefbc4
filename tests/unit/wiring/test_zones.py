"""A process asks for the zones of its own layers alone, so that its role needs no others."""

import pytest

from service.settings import LAYERS, LayerName
from service.wiring.parts import NEEDED, ZONES, Parts
from tests.fakes.world import settings


@pytest.mark.parametrize(
    ("layers", "zones"),
    [
        (("land",), ["raw", "errors"]),
        (("load",), ["refined", "errors"]),
        (("quarantine",), ["raw", "errors"]),
        (("land", "refine"), ["raw", "errors", "refined"]),
        (LAYERS, ["raw", "errors", "refined"]),
    ],
)
def test_the_zones_of_the_configured_layers(layers: tuple[LayerName, ...], zones: list[str]) -> None:
    parts = Parts(settings(layers=layers), {}, {}, None, None)  # type: ignore[arg-type]  # settings alone count
    assert [zone.name for zone in parts.zones()] == zones


def test_every_layer_says_what_it_touches() -> None:
    assert set(ZONES) == set(NEEDED) == set(LAYERS)
