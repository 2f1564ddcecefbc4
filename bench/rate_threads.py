"""What refine's second thread is worth: the same raw file alone, and in two threads at once.

    .venv/bin/python -m bench.rate_threads [--times 3]

Two threads share Python's lock. For each the kernel tells its processor time and how long it waited for a processor, by
which other work on the machine does not count; what is left of the clock is time in which it waited for the other
thread. That is the most it can be: a thread that loses its processor while it has the lock keeps the other waiting.
"""

import argparse
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from bench.rate_input import DATASET, KEYS, MEMORY_BYTES, Bodies, made_messages
from service.core.definitions import load_datasets
from service.core.model import Message
from service.land.encode import encode
from service.refine.compile import compile_dataset
from service.refine.execute import judge
from service.refine.write import parts
from service.settings import PROJECT

BODIES = Bodies(2_500, 100)


@dataclass(frozen=True, slots=True)
class Took:
    """A file in a thread, in seconds."""

    cpu: float
    waited: float


def side_by_side(work: Callable[[], object], threads: int) -> list[Took]:
    """The work in each of so many threads at once."""
    took: list[Took] = []

    def one() -> None:
        began = time.monotonic()
        work()
        seconds = time.monotonic() - began
        told = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat").read_text(encoding="ascii").split()
        cpu, queued = int(told[0]) / 1e9, int(told[1]) / 1e9
        took.append(Took(cpu, seconds - cpu - queued))

    running = [threading.Thread(target=one) for _ in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return took


def refining() -> Callable[[], object]:
    """One raw file's refining, without its uploads."""
    program = compile_dataset(load_datasets(PROJECT / "datasets")[DATASET])
    moment = datetime.now(UTC)
    body = encode(
        [Message(f"m{n}", one.body, one.attributes, moment, moment, 1, "") for n, one in made_messages(BODIES)],
        "bench",
    )
    return lambda: list(
        parts(judge(body, "s3://bench/bench", program, KEYS, MEMORY_BYTES).good, program.dataset.event_time)
    )


def main(times: int) -> None:
    """Measure and print medians."""
    work = refining()
    work()
    for threads in (1, 2):
        took = [one for _ in range(times) for one in side_by_side(work, threads)]
        cpu, waited = median(one.cpu for one in took), median(one.waited for one in took)
        rate = threads / (cpu + waited)
        sys.stdout.write(
            f"{threads} at once: {cpu:.2f} s of processor time, {waited:.2f} s waited, so {rate:.2f} files a second\n"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=3, help="of each")
    main(parser.parse_args().times)
