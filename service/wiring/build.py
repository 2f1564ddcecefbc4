"""The configured layers, each at its queue."""

from service.intake.budget import Budget
from service.runtime import Worker
from service.wiring.flow import land_worker, load_worker, refine_worker
from service.wiring.parts import Parts
from service.wiring.quarantine import quarantine_workers
from service.wiring.reprocess import resolver


def build(parts: Parts) -> list[tuple[str, Worker]]:
    """Every worker by its name; all share one budget of memory."""
    budget = Budget(parts.settings.memory_bytes_max)
    workers: list[tuple[str, Worker]] = []
    for name in parts.settings.layers:
        match name:
            case "land":
                workers.append((name, land_worker(parts, budget)))
            case "refine":
                workers.append((name, refine_worker(parts, budget)))
            case "load":
                workers.append((name, load_worker(parts, budget)))
            case "quarantine":
                workers.extend([*quarantine_workers(parts, budget), resolver(parts)])
    return workers
