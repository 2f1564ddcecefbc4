"""Whatever arrives and whenever a batch is asked for: nothing is lost, nothing comes twice, limits hold."""

from collections import defaultdict
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from service.core.batching import BatchLimits
from service.core.model import Message, Sorted
from service.intake.gather import Gather

NOON = datetime(2024, 3, 4, 12, tzinfo=UTC)
LIMITS = st.builds(
    BatchLimits,
    items_max=st.integers(1, 6),
    bytes_max=st.integers(1, 60),
    seconds_max=st.integers(0, 20),
)
ARRIVAL = st.tuples(st.sampled_from("abc"), st.integers(1, 4), st.integers(1, 40))
STEP = st.one_of(
    st.lists(ARRIVAL, max_size=5),
    st.integers(0, 10),
    st.sampled_from(["seal", "pressure", "drain", "finish"]),
)


class Driver:
    """Applies steps to a Gather, keeping a plain account of what is waiting."""

    def __init__(self, limits: BatchLimits, *, one_at_a_time: bool) -> None:
        self.limits = limits
        self.one_at_a_time = one_at_a_time
        self.gather: Gather[int] = Gather(limits, one_at_a_time=one_at_a_time)
        self.waiting: dict[str, list[tuple[int, int, int, float]]] = defaultdict(list)
        self.busy: list[str] = []
        self.now = 0.0
        self.count = 0

    def step(self, step: list[tuple[str, int, int]] | int | str) -> None:
        if isinstance(step, int):
            self.now += step
        elif isinstance(step, list):
            for key, items, size_bytes in step:
                self.add(key, items, size_bytes)
        elif step == "finish":
            if self.busy:
                self.gather.finished(self.busy.pop(0))
        else:
            self.seal(drain=step == "drain", pressure=step == "pressure")

    def add(self, key: str, items: int, size_bytes: int) -> None:
        self.count += 1
        message = Message(f"m{self.count}", "", {}, NOON, NOON, 1, "")
        self.gather.add(message, Sorted(key, self.count, items, size_bytes), self.now)
        self.waiting[key].append((self.count, items, size_bytes, self.now))

    def seal(self, *, drain: bool, pressure: bool) -> bool:
        due = self.gather.due_at()
        sealed = self.gather.seal(self.now, hurry="drain" if drain else "memory" if pressure else None)
        if sealed is None:
            assert due is None or (due > self.now and not drain and not pressure)
            return False
        key, reason, taken = sealed
        pile = self.waiting[key]
        assert not (self.one_at_a_time and key in self.busy)
        assert [w.value.value for w in taken] == [number for number, *_ in pile[: len(taken)]]
        items, size_bytes = sum(w.items for w in taken), sum(w.size_bytes for w in taken)
        assert len(taken) == 1 or (items <= self.limits.items_max and size_bytes <= self.limits.bytes_max)
        assert taken
        self.explain(reason, pile, drain=drain, pressure=pressure)
        del pile[: len(taken)]
        self.busy.append(key)
        return True

    def explain(self, reason: str, pile: list[tuple[int, int, int, float]], *, drain: bool, pressure: bool) -> None:
        holds = {
            "records": sum(items for _, items, _, _ in pile) >= self.limits.items_max,
            "bytes": sum(size for _, _, size, _ in pile) >= self.limits.bytes_max,
            "age": self.now >= pile[0][3] + self.limits.seconds_max,
            "memory": pressure,
            "drain": drain,
        }
        assert holds[reason]


@given(LIMITS, st.booleans(), st.lists(STEP, max_size=30))
def test_everything_leaves_once_in_order_and_for_a_reason(
    limits: BatchLimits,
    one_at_a_time: bool,  # noqa: FBT001 (drawn by position)
    steps: list[list[tuple[str, int, int]] | int | str],
) -> None:
    driver = Driver(limits, one_at_a_time=one_at_a_time)
    for step in steps:
        driver.step(step)
    while driver.gather:
        driver.step("finish")
        driver.step("drain")
    assert not any(driver.waiting.values())
    assert driver.gather.due_at() is None


@given(LIMITS, st.lists(ARRIVAL, min_size=1, max_size=10))
def test_a_pile_is_due_at_the_moment_it_closes_by_age(
    limits: BatchLimits, arrivals: list[tuple[str, int, int]]
) -> None:
    driver = Driver(limits, one_at_a_time=False)
    for arrival in arrivals:
        driver.add(*arrival)
        driver.now += 1
    while driver.seal(drain=False, pressure=False):
        pass
    due = driver.gather.due_at()
    if due is not None:
        driver.now = due
        assert driver.seal(drain=False, pressure=False)
