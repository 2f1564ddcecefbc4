"""Try seeds: `python -m tests.simulation --seeds 1500 --seed 1`; with `--faults`, one plan again."""

import argparse
import os
import sys

from tests.simulation.campaign import campaign, table
from tests.simulation.database import one_database
from tests.simulation.faults import Fault
from tests.simulation.plan import Plan
from tests.simulation.trial import Tally, passed


def main() -> int:
    """Returns the exit code: 1 when a seed failed."""
    given = _arguments()
    if given.faults is not None:
        faults = [Fault.parse(text) for text in given.faults.split(",") if text]
        with one_database():
            run = passed(Plan.of(given.seed).but(faults))
        sys.stdout.write(f"{run.journal}\n")
        return 0
    tally = campaign(range(given.seed, given.seed + given.seeds), processes=given.processes, tell=_tell)
    sys.stdout.write(f"{table(tally)}\n")
    return 1 if tally.failures else 0


def _tell(piece: Tally) -> None:
    """What failed, at once: the night may be long."""
    for failure in piece.failures:
        sys.stderr.write(f"{failure}\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seeds", type=int, default=1, help="how many")
    parser.add_argument("--seed", type=int, default=1, help="the first one")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--faults", help="run the one seed with these faults, and print all that happens")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
