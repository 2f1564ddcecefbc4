"""A seed is a whole world: the same one gives the same journal, byte for byte, in any interpreter."""

import hashlib
import os
import subprocess
import sys

import pytest

from tests.simulation.course import simulate
from tests.simulation.database import one_database
from tests.simulation.faults import PAIRS, Fault
from tests.simulation.plan import Plan

SEEDS = (3, 10, 13, 17, 44)
PEOPLED = 93
"""Where the same is judged and asked many times."""
PRINT_JOURNALS = """
import sys
from tests.simulation.database import one_database
from tests.simulation.plan import Plan
from tests.simulation.course import simulate

with one_database():
    for seed in map(int, sys.argv[1:]):
        print(simulate(Plan.of(seed)).journal)
"""


def _digest(journals: str) -> str:
    return hashlib.sha256(journals.encode()).hexdigest()


def test_the_same_seed_gives_the_same_journal() -> None:
    with one_database():
        journals = [simulate(Plan.of(seed)).journal for seed in SEEDS]
        again = [simulate(Plan.of(seed)).journal for seed in reversed(SEEDS)]
    assert journals == again[::-1]
    assert len(set(journals)) == len(SEEDS)
    assert all(len(journal) > 10_000 for journal in journals)


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_so_it_does_in_a_fresh_interpreter_with_other_hashes(hash_seed: str) -> None:
    with one_database():
        journals = "\n".join(simulate(Plan.of(seed)).journal for seed in SEEDS)
    fresh = subprocess.run(
        [sys.executable, "-c", PRINT_JOURNALS, *map(str, SEEDS)],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    assert _digest(fresh.stdout.removesuffix("\n")) == _digest(journals)


def test_what_is_kept_from_world_to_world_changes_none() -> None:
    plan = Plan.of(PEOPLED)
    with one_database():
        journals = [simulate(plan).journal for _ in range(2)]
    assert journals == [simulate(plan).journal] * 2


def test_a_plan_from_the_command_line_does_the_same() -> None:
    plan = Plan.of(17)
    again = plan.but([Fault.parse(str(fault)) for fault in plan.faults])
    with one_database():
        run = simulate(plan)
        assert run.fired
        assert simulate(again).journal == run.journal


def test_neighbouring_seeds_go_through_every_pair() -> None:
    drawn = {(fault.point, fault.kind) for seed in range(1, 200) for fault in Plan.of(seed).faults}
    assert drawn == set(PAIRS)
