"""Every piece of the corpus has its outcome, quickly, and its original stays byte for byte."""

import io
import json
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from service.core.definitions import load_datasets
from service.core.model import Outgoing
from tests.fakes.time import run_virtual
from tests.fakes.world import DEFINITION, World, live
from tests.poison.corpus import CORPUS, GOOD, Poison

CPU_SECONDS_MAX = 0.1


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "events.toml").write_text(DEFINITION)
    return World(load_datasets(tmp_path))


def meet(world: World, *poisons: Poison) -> float:
    """Send them one after the other into one world; returns the CPU seconds of the last beyond a good one's."""
    seconds = [0.0]

    async def main() -> None:
        world.open()
        for poison in poisons:
            began = time.process_time()
            world.queues[poison.queue].put(Outgoing(poison.body, poison.attributes))
            await live(world, land_batch_seconds_max=1, load_batch_seconds_max=1)
            seconds.append(time.process_time() - began)

    run_virtual(main())
    return seconds[-1] - min(seconds[1:])


def originals(world: World) -> list[str]:
    """The bodies that are kept: in raw files, and in the letters of what was rejected whole."""
    raw = [body for uri, body in world.store.objects.items() if uri.startswith("s3://raw/")]
    landed = [text for body in raw for text in pq.read_table(io.BytesIO(body)).column("body").to_pylist()]
    letters = [letter for queue in ("records", "refine", "load") for letter in world.letters(queue)]
    kept = [letter["original"]["body"] for letter in letters if letter.get("original") and "body" in letter["original"]]
    pointed = [
        json.loads(body) for uri, body in world.store.objects.items() if uri.startswith("s3://errors/originals/")
    ]
    return [*landed, *kept, *(original["body"] for original in pointed)]


@pytest.mark.parametrize("poison", CORPUS, ids=lambda poison: poison.name[:60].replace(" ", "_"))
def test_the_outcome_is_the_one_that_is_promised(world: World, poison: Poison) -> None:
    cpu_seconds = meet(world, GOOD, GOOD, poison)
    codes = [letter["code"] for queue in ("records", "refine", "load") for letter in world.letters(queue)]
    assert codes == list(poison.codes)
    ours = [row for row in world.rows() if row["_raw_file"] != world.rows()[0]["_raw_file"]]
    loaded = [row["amount"] for row in ours] or [row["amount"] for row in world.rows()] if poison.loaded else []
    assert loaded == list(poison.loaded)
    assert world.settled()
    assert poison.body in originals(world)
    assert cpu_seconds < CPU_SECONDS_MAX
