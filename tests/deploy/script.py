"""Runs the scripts of deploy/ecs; in the place of the AWS CLI stands one that notes its calls and gives answers."""

import json
import os
import shutil
import stat
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.deploy.templates import ECS

NOTES = """#!/usr/bin/env bash
printf '%s\\0' "$@" $'\\n' >> "$CALLS"
"""
FORMATION = """
[[ " $* " == *--no-execute-changeset* ]] && echo "aws … arn:aws:cloudformation:eu-central-1:1:changeSet/some/1"
exit 0
"""
"""What CloudFormation answers: a change set where one was asked for."""
IMAGE = "repository/acequia@sha256:0"

NOWHERE = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_EC2_METADATA_DISABLED": "true"}
"""Where the machine's own AWS CLI would lead, should a script ever find it before ours: to nobody."""

Said = subprocess.CompletedProcess[str]
Calls = list[list[str]]


def run_script(name: str, tmp_path: Path, *arguments: str, answers: str, **environment: str) -> tuple[Said, Calls]:
    """What a script said, and the calls that it made; `answers` is bash, `name` may be a path."""
    aws, calls = tmp_path / "aws", tmp_path / "calls"
    aws.write_text(NOTES + answers)
    aws.chmod(aws.stat().st_mode | stat.S_IXUSR)
    calls.write_text("")
    told = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "CALLS": str(calls), **NOWHERE, **environment}
    said = subprocess.run([ECS / name, *arguments], env=told, capture_output=True, text=True, check=False)
    return said, [call.split("\0")[:-1] for call in calls.read_text().split("\n\0")[:-1]]


def ran(tmp_path: Path, *arguments: str, image: str = IMAGE, directory: Path = ECS) -> tuple[Said, Calls]:
    """The script `deploy`."""
    return run_script(str(directory / "deploy"), tmp_path, *arguments, answers=FORMATION, IMAGE=image)


def copied(tmp_path: Path, **edited: Mapping[str, str]) -> Path:
    """The scripts and templates as they are, and parameter files as an operator has edited them, by environment."""
    directory = tmp_path / "edited"
    shutil.copytree(ECS, directory)
    for environment, parameters in edited.items():
        file = directory / "parameters" / f"{environment}.json"
        file.write_text(json.dumps({"Parameters": dict(parameters)}), encoding="utf-8")
    return directory


def deployed(calls: Sequence[Sequence[str]]) -> dict[str, tuple[str, Mapping[str, str]]]:
    """By the stack's name: its template, and what it was given."""
    found: dict[str, tuple[str, Mapping[str, str]]] = {}
    for call in calls:
        if call[:2] == ["cloudformation", "deploy"]:
            pairs = [one.split("=", 1) for one in call[call.index("--parameter-overrides") + 1 :] if "=" in one]
            name = call[call.index("--template-file") + 1].removesuffix(".yaml")
            found[call[call.index("--stack-name") + 1]] = name, dict(pairs)
    return found
