"""The scaling rules and the tasks' sizes, as the templates state them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from service.settings import PROJECT

TEMPLATES = PROJECT / "deploy" / "ecs"
BATCH_SECONDS = {"land": 60.0, "refine": 5.0}
"""`ACEQUIA_LAND_BATCH_SECONDS_MAX`, `ACEQUIA_REFINE_BATCH_SECONDS_MAX`: so long a task holds what it has taken."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A layer's scaling in one environment: `rate` and `target` in messages a task, a second and at once.

    A task holds `in_flight` messages at the most, for `batch_seconds` after it has worked on them; one that
    `takes_ahead` takes so many whether or not it can work on them soon.
    """

    layer: str
    rate: float
    delay_seconds: float
    target: float
    least: int
    most: int
    out_cooldown_seconds: float
    in_cooldown_seconds: float
    batch_seconds: float
    in_flight: float
    takes_ahead: bool


@dataclass(frozen=True, slots=True)
class TaskSize:
    """Of a layer's task: `cpus` in vCPUs, and what its settings allow it."""

    cpus: float
    memory_bytes: int
    threads: int
    environment: Mapping[str, str]
    """The settings that go with the size."""


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms, which mean nothing here."""


_Loader.add_multi_constructor("!", lambda *_: None)


def read_rules(environment: str, templates: Path = TEMPLATES) -> list[Rule]:
    """The rules of every layer that scales there."""
    template = _read(templates / "scaling.yaml")
    given = template["Mappings"]
    sizes = _read(templates / "service.yaml")["Mappings"]["Layers"]
    policy = template["Resources"]["Backlog"]["Properties"]["TargetTrackingScalingPolicyConfiguration"]
    return [
        Rule(
            layer=layer,
            rate=float(rule["RatePerTask"]),
            delay_seconds=float(rule["DelaySeconds"]),
            target=float(rule["Target"]),
            least=int(given["Least"][environment][layer]),
            most=int(given["Most"][environment][layer]),
            out_cooldown_seconds=float(policy["ScaleOutCooldown"]),
            in_cooldown_seconds=float(policy["ScaleInCooldown"]),
            batch_seconds=BATCH_SECONDS[layer],
            in_flight=float(sizes[layer]["InFlight"]),
            takes_ahead=layer == "refine",
        )
        for layer, rule in given["Rules"].items()
    ]


def read_task(layer: str, templates: Path = TEMPLATES) -> TaskSize:
    """The size of that layer's tasks, the same in every environment."""
    given = _read(templates / "service.yaml")["Mappings"]["Layers"][layer]
    return TaskSize(
        cpus=int(given["Cpu"]) / 1_024,
        memory_bytes=int(given["Memory"]) * 2**20,
        threads=int(given["Threads"]),
        environment={
            "ACEQUIA_THREADS_MAX": given["Threads"],
            "ACEQUIA_MEMORY_BYTES_MAX": given["MessageMemory"],
            "ACEQUIA_REFINE_MEMORY_BYTES_MAX": given["RefineMemory"],
            "ACEQUIA_MESSAGES_INFLIGHT_MAX": given["InFlight"],
        },
    )


def _read(template: Path) -> dict[str, Any]:
    read: dict[str, Any] = yaml.load(template.read_text(encoding="utf-8"), _Loader)  # noqa: S506 (a SafeLoader)
    return read
