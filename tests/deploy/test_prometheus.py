"""What is given to who scrapes: the names that tie its files together, and metrics that the service has."""

import json
import re
from typing import Any

import yaml
from prometheus_client import CollectorRegistry

from service.settings import PROJECT, Settings
from service.telemetry.metrics import Metrics
from tests.deploy.templates import ECS, stacks

PROMETHEUS = ECS / "prometheus"
JOB = "acequia"
PRODUCTION = "acequia-prod"


def scraping() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((PROMETHEUS / "scrape.yaml").read_text(encoding="utf-8"))
    return found


def agent() -> dict[str, Any]:
    told = json.loads((PROMETHEUS / "cloudwatch-agent.json").read_text(encoding="utf-8"))
    found: dict[str, Any] = told["logs"]["metrics_collected"]["prometheus"]
    return found


def rules() -> list[dict[str, Any]]:
    [group] = yaml.safe_load((PROMETHEUS / "rules.yaml").read_text(encoding="utf-8"))["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def labels_of() -> dict[str, set[str]]:
    """Of every metric by the name that is scraped, as docs/metrics.md has them."""
    rows = re.findall(
        r"^\| `(acequia_\w+)` \| \w+ \| ([^|]*) \|", (PROJECT / "docs" / "metrics.md").read_text(), re.MULTILINE
    )
    return {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows}


def test_the_agent_writes_the_list_of_tasks_that_is_read() -> None:
    [job] = scraping()["scrape_configs"]
    assert job["job_name"] == JOB
    assert [found["files"] for found in job["file_sd_configs"]] == [
        [agent()["ecs_service_discovery"]["sd_result_file"]]
    ]
    assert agent()["prometheus_config_path"] == "env:PROMETHEUS_CONFIG_CONTENT"


def test_the_agent_finds_every_service_at_its_port() -> None:
    discovery = agent()["ecs_service_discovery"]
    [told] = discovery["service_name_list_for_tasks"]
    assert told["sd_job_name"] == JOB
    assert int(told["sd_metrics_ports"]) == Settings.model_fields["http_port"].default
    for layer in ("land", "refine", "load", "quarantine", "all"):
        made = stacks("prod", Layer=layer)
        service = made["service"].of_type("AWS::ECS::Service")["Service"]
        assert re.search(told["sd_service_name_pattern"], service["ServiceName"])
        [container] = made["service"].of_type("AWS::ECS::TaskDefinition")["Task"]["ContainerDefinitions"]
        assert str(container["PortMappings"][0]["ContainerPort"]) == told["sd_metrics_ports"]
    [cluster] = stacks("prod")["cluster"].of_type("AWS::ECS::Cluster").values()
    assert discovery["sd_target_cluster"] == agent()["cluster_name"] == cluster["ClusterName"] == PRODUCTION


def test_what_is_chosen_for_cloudwatch_is_there_with_the_labels_that_become_dimensions() -> None:
    known = labels_of()
    declared = agent()["emf_processor"]["metric_declaration"]
    assert len(declared) >= 1
    for one in declared:
        assert (one["source_labels"], one["label_matcher"]) == (["job"], f"^{JOB}$")
        for selector in one["metric_selectors"]:
            name = selector.removeprefix("^").removesuffix("$")
            [dimensions] = one["dimensions"]
            assert {*dimensions} - {"ClusterName"} <= known[name], name


def test_rules_ask_for_metrics_that_there_are() -> None:
    made = Metrics(CollectorRegistry()).registry.collect()
    served = {f"{one.name}_total" if one.type == "counter" else one.name for one in made}
    for rule in rules():
        for name in re.findall(r"acequia_\w+", rule["expr"]):
            assert name in served, name
        for job in re.findall(r'job="(\w+)"', rule["expr"]):
            assert job == JOB
