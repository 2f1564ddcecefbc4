"""The documents say what the code does: no setting, metric, code or key is missing, and none is too many."""

import json
import re
import tomllib
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from service.core import events
from service.core.dead_letter import MARKER
from service.core.definitions import load_dataset
from service.core.errors import CODES, DefinitionError
from service.core.events import Event
from service.core.notice import File, FileNotice, Replaces
from service.settings import PROJECT, Settings
from service.telemetry.metrics import Metrics
from tests.faults.table import markdown
from tests.poison.table import table

DOCS = PROJECT / "docs"
SENTINEL = "no_such_key"


def rows(name: str) -> list[list[str]]:
    """The cells of every table row that begins with a name in backticks."""
    lines = (DOCS / name).read_text(encoding="utf-8").splitlines()
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if line.startswith("| `")]


def named(name: str) -> list[str]:
    return [row[0].strip("| `") for row in rows(name)]


def default(field: str) -> str:
    """A default as the document writes it."""
    info = Settings.model_fields[field]
    secret = ", secret" if SecretStr.__name__ in str(info.annotation) else ""
    match info.default:
        case _ if info.is_required():
            return f"must be set{secret}"
        case None:
            return f"unset{secret}"
        case Path() as path:
            return f"`{path.name}` in the project"
        case tuple() as parts:
            return f"`{','.join(parts)}`"
        case float() as seconds:
            return f"`{seconds:g}`"
        case value:
            return f"`{value}`"


def test_every_setting_is_documented_once_and_none_too_many() -> None:
    assert sorted(named("settings.md")) == sorted(f"ACEQUIA_{field.upper()}" for field in Settings.model_fields)


@pytest.mark.parametrize("field", sorted(Settings.model_fields))
def test_a_setting_is_documented_with_its_default(field: str) -> None:
    [told] = [row[1] for row in rows("settings.md") if row[0] == f"`ACEQUIA_{field.upper()}`"]
    assert told == default(field)


@pytest.mark.parametrize("field", sorted(Settings.model_fields))
def test_a_setting_is_documented_with_its_range(field: str) -> None:
    [told] = [row[2] for row in rows("settings.md") if row[0] == f"`ACEQUIA_{field.upper()}`"]
    limits = [getattr(limit, end) for limit in Settings.model_fields[field].metadata for end in ("ge", "le", "lt")
              if hasattr(limit, end)]  # fmt: skip
    assert [f"{limit:g}" if limit < 1e6 else str(limit) for limit in limits] == re.findall(
        r"(?<=[ ,])\d+(?=,|$| to| exclusive)", told.replace("above 0 to", ",").replace("above 0,", ",")
    )


def test_every_metric_is_documented_with_kind_and_labels_and_none_too_many() -> None:
    told = {row[0].strip("| `"): (row[1], " ".join(sorted(re.findall(r"\w+", row[2])))) for row in rows("metrics.md")}
    assert told == registered()


EVENTS: tuple[Event, ...] = (
    events.MessagesReceived("land", 1, 1, 1.0),
    events.QueueLooked("land", 1, 1),
    events.QueueEmpty("land"),
    events.BatchClosed("land", "d", "age", 1, 1),
    events.BatchFinished("land", "d", 1, 1.0),
    events.BatchLeft("land", "d", 1),
    events.FileLanded("d", 1, 1),
    events.FileRefined("d", 1, 1, 1, 1, 1, 1.0),
    events.RecordsRejected("land", "d", "bad_json", 1),
    events.LettersQuarantined("quarantine-land", 1, 1, 0),
    events.RoundLooked("r", 1, 1, 0, 0, over=True),
    events.ResolveFailed("setup", "", 1.0),
    events.MailSent(1, 0, 0),
    events.MailFailed("setup", "", 1.0),
    events.GroupLoaded("d", 1, 1, 1, 1, 1, 1, 1.0),
    events.LoadersMet("d", 2.0),
    events.WorkFailed("land", "setup", "", 1.0),
    events.LayerPaused("land", ""),
    events.MessagesReleased("land", 1),
    events.SettlementFailed("land", "delete", 1),
    events.ClaimsExpired("land", 1),
    events.ShieldFailed("no"),
    events.QueueCrowded("land", 1, 1),
    events.DatasetPaused("refine", "d", "why"),
    events.DatasetResumed("refine", "d"),
    events.MessagesDeferred("refine", "d", 1),
)


def registered() -> dict[str, tuple[str, str]]:
    """Kind and labels of every metric, seen in its samples."""
    metrics = Metrics(CollectorRegistry())
    for event in EVENTS:
        metrics.record(event)
    found = {}
    for family in metrics.registry.collect():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = sorted({label for sample in family.samples for label in sample.labels} - {"le"})
        found[name] = (family.type, " ".join(labels) or "none")
    return found


def test_every_code_is_documented_once_and_none_too_many() -> None:
    codes = (DOCS / "dead-letters.md").read_text(encoding="utf-8").split("\n## Codes")[1]
    assert sorted(re.findall(r"^\| `(\w+)` \|", codes, re.MULTILINE)) == sorted(CODES)


def produced(code: str) -> bool:
    service = [path for path in (PROJECT / "service").rglob("*.py") if path.name != "errors.py"]
    return any(f'"{code}"' in path.read_text(encoding="utf-8") for path in service if "local" not in path.parts)


@pytest.mark.parametrize("code", sorted(CODES))
def test_a_code_is_documented_as_produced_or_not(code: str) -> None:
    [told] = [row[1] for row in rows("dead-letters.md") if row[0].strip("| `") == code]
    assert told == ("yes" if produced(code) else "no")


def test_the_example_letter_has_the_fields_that_are_explained() -> None:
    text = (DOCS / "dead-letters.md").read_text(encoding="utf-8")
    example = re.search(r"```json\n(.*?)```", text, re.DOTALL)
    assert example is not None
    fields = re.findall(r'^  "(\w+)":', example[1], re.MULTILINE)
    explained = re.findall(r"`(\w+)`", " ".join(row[0] for row in rows("dead-letters.md")))
    assert set(explained) - CODES == {*fields, "original"}
    assert fields[0] == MARKER


def known_keys(tmp_path: Path, text: str) -> set[str]:
    """The keys that the reader offers when it is given one that it does not know."""
    path = tmp_path / "things.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DefinitionError) as raised:
        load_dataset(path)
    return set(str(raised.value).partition("is not known; use ")[2].split(", "))


def test_every_key_of_a_definition_is_documented_and_none_too_many(tmp_path: Path) -> None:
    top = known_keys(tmp_path, f"{SENTINEL} = 1")
    column = known_keys(tmp_path, f'[[column]]\nname = "a"\n{SENTINEL} = 1')
    sections = (DOCS / "datasets.md").read_text(encoding="utf-8").split("\n## ")
    told = {section.splitlines()[0]: set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) for section in sections}
    assert told["The dataset"] == top
    assert told["A column"] == column


def test_the_example_definition_is_a_definition(tmp_path: Path) -> None:
    example = re.search(r"```toml\n(.*?)```", (DOCS / "datasets.md").read_text(encoding="utf-8"), re.DOTALL)
    assert example is not None
    given: dict[str, Any] = tomllib.loads(example[1])
    (tmp_path / "example.toml").write_text(example[1], encoding="utf-8")
    assert len(load_dataset(tmp_path / "example.toml").columns) == len(given["column"])


def test_every_field_of_a_file_notice_is_documented_and_none_too_many() -> None:
    notice = FileNotice("d", "raw", [], [], "b", "", datetime(2026, 1, 1, tzinfo=UTC), Replaces("s3://raw/f", ()))
    section = (DOCS / "formats.md").read_text(encoding="utf-8").split("\n## File notice")[1]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == list(json.loads(notice.to_json()))
    named = set(re.findall(r"`(\w+)`", section))
    assert {field.name for kind in (File, Replaces) for field in fields(kind)} <= named


def test_the_poison_table_is_the_corpus() -> None:
    assert (DOCS / "poison.md").read_text(encoding="utf-8").endswith(table() + "\n")


def test_the_table_of_scenarios_is_that_of_the_tests() -> None:
    assert (DOCS / "guarantees.md").read_text(encoding="utf-8").endswith(f"## The scenarios\n\n{markdown()}")
