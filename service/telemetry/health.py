"""Ready or not, and why: what the events say about the layers.

Liveness looks at none of this: a dependency that is down is not cured by a restart.
"""

from service.core.events import (
    DatasetPaused,
    DatasetResumed,
    Event,
    LayerPaused,
    LayerResumed,
    ServiceDraining,
    ServiceStarted,
)


class Health:
    """Reasons for not being ready; none means ready."""

    def __init__(self) -> None:
        self._reasons: dict[str, str] = {"service": "starting"}

    def record(self, event: Event) -> None:
        """Take note of what changes readiness."""
        match event:
            case ServiceStarted():
                self._reasons.pop("service", None)
            case ServiceDraining():
                self._reasons["service"] = "draining"
            case DatasetPaused(layer, dataset, reason):
                self._reasons[_place(layer, dataset)] = reason
            case DatasetResumed(layer, dataset):
                self._reasons.pop(_place(layer, dataset), None)
            case LayerPaused(layer, reason):
                self._reasons[layer] = reason
            case LayerResumed(layer):
                self._reasons.pop(layer, None)

    def reasons(self) -> dict[str, str]:
        """Why we are not ready, by layer; empty when we are."""
        return dict(self._reasons)


def _place(layer: str, dataset: str) -> str:
    return f"{layer} {dataset or 'datasets without a definition'}"
