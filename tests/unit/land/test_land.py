"""A batch becomes a raw object and a notice; where messages had been sent back, it also says where they are now."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from service.core.errors import RejectedError
from service.core.marks import MARK_ATTRIBUTE, LandedMarks, Mark
from service.core.model import Attribute, Batch, Held, Message
from service.core.notice import FileNotice
from service.core.ports import Means
from service.core.zones import Zone
from service.land.land import Land, Source
from tests.fakes.journal import Journal
from tests.fakes.queue import FakeQueue
from tests.fakes.store import FakeStore
from tests.fakes.time import InlineFanOut, InlineThreads, LoopClock, run_virtual

SEALED = datetime(2024, 3, 4, 12, tzinfo=UTC)
MARK = Mark("e1", "first", 1, "r1")


class Ground:
    """The layer with its stores; `land` lands a batch and returns its id."""

    def __init__(self) -> None:
        self.journal = Journal()
        self.store = FakeStore(self.journal)
        self.notices: list[FileNotice] = []

    def land(self, *messages: Message) -> str:
        async def main() -> str:
            queue = FakeQueue("refine", self.journal)
            means = Means(self.store, InlineThreads(), InlineFanOut(), LoopClock(), lambda _: None)
            zones = {"raw": Zone("raw", "raw", ""), "errors": Zone("errors", "errors", "e")}
            layer = Land(Source("records", frozenset(["things"]), None), **zones, refine_queue=queue, means=means)
            batch = Batch("things", [Held(message, None) for message in messages], "age", SEALED, 0)
            await layer.handle(batch)
            await layer.handle(replace(batch, progress={}))
            self.notices = [FileNotice.from_json(body) for body in queue.bodies]
            return batch.batch_id

        return run_virtual(main())


def marked(mark: Mark) -> dict[str, Attribute]:
    return {MARK_ATTRIBUTE: mark.attribute()}


def test_a_batch_without_marks_is_one_object_and_a_notice(message: Callable[..., Message]) -> None:
    ground = Ground()
    ground.land(message(), message(message_id="m1"))
    assert ground.journal.effects == ["put raw things/dt=2024-03-04/hr=12", "refine send 1"] * 2
    assert len(ground.store.objects) == 1


def test_marks_are_stored_between_the_raw_object_and_its_notice(message: Callable[..., Message]) -> None:
    ground = Ground()
    again = replace(MARK, error_id="e2", origin="second", attempt=2)
    messages = [
        message(message_id="m1", attributes=marked(MARK)),
        message(message_id="m2"),
        message(message_id="m3", attributes=marked(again)),
        message(message_id="m4", attributes={MARK_ATTRIBUTE: Attribute("String", "forged")}),
    ]
    batch_id = ground.land(*messages)
    effects = ["put raw things/dt=2024-03-04/hr=12", "put errors e/marks", "refine send 1"]
    assert ground.journal.effects == effects * 2
    [raw_file] = {file.uri for notice in ground.notices for file in notice.files}
    stored = LandedMarks.from_json(ground.store.objects[f"s3://errors/e/marks/{batch_id}.json"])
    assert stored == LandedMarks(raw_file, [MARK, again])


@pytest.mark.parametrize("ids", [["m1", "m2"], ["m1", "m1"]])
def test_only_one_message_id_is_landed_once_never_one_origin(message: Callable[..., Message], ids: list[str]) -> None:
    """What stands in a mark is a message's word: two messages are never taken for one because of it."""
    ground = Ground()
    ground.land(*(message(message_id=one, attributes=marked(MARK)) for one in ids))
    assert [file.rows for notice in ground.notices for file in notice.files] == [len(set(ids))] * 2


SOURCE = Source("records", frozenset({"events"}), "events")


@pytest.mark.parametrize(
    ("body", "attributes"),
    [
        ('{"a": "\ud800"}', {}),
        ("{}", {"x": Attribute("String", "\udfff")}),
        ("{}", {"\ud800": Attribute("String", "x")}),
    ],
)
def test_what_is_no_text_is_rejected_before_it_reaches_arrow(
    message: Callable[..., Message], body: str, attributes: dict[str, Attribute]
) -> None:
    with pytest.raises(RejectedError) as raised:
        SOURCE.sorted(message(body=body, attributes=attributes))
    assert raised.value.code == "bad_encoding"


def test_attributes_count_towards_the_batch(message: Callable[..., Message]) -> None:
    one = message(body="é😀", attributes={"größe": Attribute("Binary", b"12345")})
    assert SOURCE.sorted(one).size_bytes == 6 + 7 + len("Binary") + 5
