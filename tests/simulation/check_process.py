"""What is promised about the processes themselves: they isolate, stay bounded, touch only what is theirs, and count."""

from collections import Counter
from collections.abc import Sequence

from prometheus_client.samples import Sample

from service.core.events import DatasetPaused
from service.core.zones import Zone
from service.runtime import EXIT_DRAINED
from tests.simulation.facts import Facts
from tests.simulation.process import Process
from tests.simulation.producers import SECRET
from tests.simulation.run import BrokenError
from tests.simulation.setups import DRAIN_SECONDS_MAX

ZONES = tuple(Zone.parse(name, f"s3://{name}") for name in ("raw", "refined", "errors"))
LAYER_OF = {
    "records": "land",
    "refine": "refine",
    "load": "load",
    "records-dlq": "quarantine-land",
    "refine-dlq": "quarantine-refine",
    "load-dlq": "quarantine-load",
}
SOURCES = ("records", "refine", "load", "dlq")
POLLERS, MESSAGES_A_POLL = 4, 10
FREE = {"fail", "denied", "contended", "slow", "lingers", "outage", "nothing"}
NOT_FREE = {f"{queue} {verb}" for queue in SOURCES for verb in ("receive", "hide")} | {"sqs away"}
"""Where even these cost a receive: claims that could not be extended, and what is under way when SQS is lost."""
FIGURES = {
    "acequia_messages_received_total": "received",
    "acequia_messages_settled_total": "settled",
    "acequia_messages_released_total": "released",
    "acequia_claims_expired_total": "expired",
    "acequia_messages_deferred_total": "deferred",
}
OTHERS = ("acequia_rejected_total", "acequia_settlement_failures_total", "acequia_rows_inserted_total")
TASKS_MAX, TASKS_WITH_PEOPLE_MAX = 120, 200
"""Of two processes and the simulation around them; and of the people in it."""


def timely(facts: Facts) -> None:
    """I3: nobody deletes, extends or gives back by a claim whose time has passed: another may have the message."""
    for process in facts.run.processes:
        if process.overdue:
            raise BrokenError(f"I3: {process.name} went on with claims that were over: {process.overdue[:3]}")


def isolated(facts: Facts) -> None:
    """I8: on a calm day a bad message costs nobody a second receive, itself neither."""
    calm = not facts.run.plan.faults
    for name, queue in facts.run.world.queues.items():
        if name == "reprocess":
            continue  # people's, who may hold what they have chosen for long
        first = 0 if calm else facts.run.calm_from[name]
        for message_id in list(queue.sent)[first:]:
            times = queue.received[message_id]
            if times > 1:
                raise BrokenError(f"I8: {message_id} was received {times} times, and nothing was wrong")


def spared(facts: Facts) -> None:
    """Promise 5: an outage costs no message a receive, and whatever ends a process or a claim at most one."""
    costs = 1 if facts.run.quiet else 2
    costs += sum(fault.kind not in FREE or fault.point in NOT_FREE for fault in facts.run.fired)
    for name, queue in facts.run.world.queues.items():
        for message_id, times in queue.received.items() if name != "reprocess" else ():
            if times > costs:
                raise BrokenError(f"5: {message_id} was received {times} times for {costs - 1} faults")


def going_on(facts: Facts) -> None:
    """Promise 4 and 5: no dataset pauses for fewer bad records than its limit, however often they are tried."""
    for process in facts.run.processes:
        paused = [event for event in process.told if isinstance(event, DatasetPaused)]
        if paused and not facts.run.setup.impatient:
            raise BrokenError(f"5: {process.name} paused {paused[0].dataset}: {paused[0].reason}")


def bounded(facts: Facts) -> None:
    """I6: bytes held never exceed what is allowed by more than the polls under way, and tasks do not pile up."""
    sizes = [
        len(queue.sent[message_id].body.encode())
        for queue in facts.run.world.queues.values()
        for message_id, times in queue.received.items()
        for _ in range(times)
    ]
    largest = sum(sorted(sizes)[-POLLERS * MESSAGES_A_POLL :])
    tasks_max = TASKS_WITH_PEOPLE_MAX if facts.run.plan.peopled else TASKS_MAX
    for process in facts.run.processes:
        if process.held_bytes_peak > facts.run.setup.calm.memory_bytes_max + largest:
            raise BrokenError(f"I6: {process.name} held {process.held_bytes_peak} bytes")
        if process.tasks_peak > tasks_max:
            raise BrokenError(f"I6: {process.tasks_peak} tasks")


def ended(facts: Facts) -> None:
    """I7: who is asked once to stop, and neither sleeps nor is killed, ends with 0 within the drain's time."""
    for process in facts.run.processes:
        if process.drained is None or process.stood_still:
            continue
        seconds, code = process.drained
        if code != EXIT_DRAINED or seconds > DRAIN_SECONDS_MAX:
            raise BrokenError(
                f"I7: {process.name} was asked to stop, and ended after {seconds:.1f} seconds with {code}"
            )


def confined(facts: Facts) -> None:
    """I9: no address outside the zones; and nothing that is told holds what the records hold."""
    strange = [uri for uri in facts.run.touched if not any(zone.holds(uri) for zone in ZONES)]
    if strange:
        raise BrokenError(f"I9: outside the zones: {strange[0]}")
    for process in facts.run.processes:
        for event in process.told:
            if SECRET in repr(event):
                raise BrokenError(f"I9: {type(event).__name__} tells what a record holds")
    for queue, found in facts.letters.items():
        for _, letter in found:
            if SECRET in letter["sentence"]:
                raise BrokenError(f"I9: a letter in {queue} quotes a record")


def counted(facts: Facts) -> None:
    """I10: received = settled + released + let go, by each process's own metrics, unless it was killed."""
    told = {process.name: _samples(process) for process in facts.run.processes}
    for process in facts.run.processes:
        if process.dead:
            continue
        figures = _figures(told[process.name])
        for layer in figures:
            _balanced(process, layer, figures[layer])
        _heard(process, told[process.name])
    inserted = Counter[str]()
    for sample in [one for samples in told.values() for one in samples if one.name == "acequia_rows_inserted_total"]:
        inserted[sample.labels["dataset"]] += int(sample.value)
    for dataset in () if facts.run.replayed else facts.run.datasets:
        in_ledger = sum(entry.inserted for entry in facts.entries(dataset).values())
        rows = inserted[dataset]
        if rows > in_ledger or (rows < in_ledger and not facts.run.plan.faults):
            raise BrokenError(f"I10: {dataset}: {rows} rows counted as inserted, {in_ledger} in the ledger")


def _samples(process: Process) -> list[Sample]:
    """Of the metrics that are looked at: there are many others."""
    looked_at = process.metrics.registry.restricted_registry([*FIGURES, *OTHERS])
    return [sample for metric in looked_at.collect() for sample in metric.samples]


def _heard(process: Process, samples: Sequence[Sample]) -> None:
    """What the queue did not do is told, each entry of each answer."""
    told = {
        (one.labels["layer"], one.labels["action"]): int(one.value)
        for one in samples
        if one.name == "acequia_settlement_failures_total"
    }
    for (queue, action), messages in process.not_done.items():
        heard = told.get((LAYER_OF[queue], action), 0)
        if heard < messages:
            raise BrokenError(f"I10: {process.name} told of {heard} of {messages} failures to {action} in {queue}")


def _balanced(process: Process, layer: str, told: Counter[str]) -> None:
    """What was received and not settled was released, or expired, or was rejected in a batch that was given back."""
    open_ = told["received"] - told["settled"] - told["rejected at once"]
    least = told["released"] + told["unreleased"]
    most = least + told["expired"] + told["rejected in batches"] + told["deferred"]
    if process.stood_still or process.hung_up:
        most = told["received"]
    if not max(0, least) <= open_ <= most:
        raise BrokenError(f"I10: {process.name}, {layer}: {open_} of {dict(told)} are neither settled nor given back")


def _figures(samples: Sequence[Sample]) -> dict[str, Counter[str]]:
    figures: dict[str, Counter[str]] = {layer: Counter() for layer in LAYER_OF.values()}
    for sample in samples:
        layer = sample.labels.get("layer", "")
        if sample.name in FIGURES:
            figures[layer][FIGURES[sample.name]] += int(sample.value)
        elif sample.name == "acequia_rejected_total":
            at_once = not sample.labels["dataset"]
            figures[layer]["rejected at once" if at_once else "rejected in batches"] += int(sample.value)
        elif sample.name == "acequia_settlement_failures_total" and sample.labels["action"] == "release":
            figures[layer]["unreleased"] += int(sample.value)
    return figures
