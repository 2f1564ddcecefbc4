"""The scaling rules as `deploy/ecs/scaling.yaml` states them."""

from dataclasses import dataclass
from typing import Any

import yaml

from service.settings import PROJECT

TEMPLATE = PROJECT / "deploy" / "ecs" / "scaling.yaml"
BATCH_SECONDS = {"land": 60.0, "refine": 5.0}
"""`ACEQUIA_LAND_BATCH_SECONDS_MAX`, `ACEQUIA_REFINE_BATCH_SECONDS_MAX`: so long a task holds what it has taken."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A layer's scaling in one environment: `rate` and `target` in messages a task, a second and at once."""

    layer: str
    rate: float
    delay_seconds: float
    target: float
    least: int
    most: int
    out_cooldown_seconds: float
    in_cooldown_seconds: float
    batch_seconds: float


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms, which mean nothing here."""


_Loader.add_multi_constructor("!", lambda *_: None)


def read_rules(environment: str) -> list[Rule]:
    """The rules of every layer that scales there."""
    template: dict[str, Any] = yaml.load(TEMPLATE.read_text(encoding="utf-8"), _Loader)  # noqa: S506 (a SafeLoader)
    given = template["Mappings"]
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
        )
        for layer, rule in given["Rules"].items()
    ]
