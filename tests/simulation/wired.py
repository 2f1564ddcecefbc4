"""What a process is built from: the ports that pass its gate, on the stores that all processes share."""

from service.core.ports import Means, Queue
from service.runtime import PooledFanOut
from service.settings import Settings
from service.wiring.parts import Parts
from tests.simulation.gates import CALLS_AT_ONCE, GateNotifier, GateQueue, GateStore, GateThreads, GateWarehouse
from tests.simulation.process import Process, ProcessClock
from tests.simulation.run import Run


def parts_of(run: Run, configured: Settings, process: Process) -> Parts:
    """With the datasets as they are defined now."""
    world = run.world
    queues: dict[str, Queue] = {name: GateQueue(queue, process) for name, queue in world.queues.items()}
    means = Means(
        GateStore(world.store, process, run.touched.add),
        GateThreads(process, run.judged),
        PooledFanOut(CALLS_AT_ONCE),
        ProcessClock(process),
        process.tell,
    )
    return Parts(
        configured,
        world.datasets,
        queues,
        GateWarehouse(world.warehouse, process),
        means,
        GateNotifier(world.notifier, process, run.mailed),
        jitter=run.plan.random(f"jitter of {process.name}"),
    )
