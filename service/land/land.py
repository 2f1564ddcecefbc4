"""Layer 1: batches of messages become raw objects.

Durable effects, in this order: raw object stored → marks stored, where messages of the batch had been sent back →
notice sent to the refine queue → (by the intake) messages deleted.

    dies after the object    an orphan that nobody will load; the messages come again, in another grouping
    dies after the marks     the same, and marks about a file that never reaches the warehouse: they prove nothing
    dies after the notice    the object is refined and loaded, and the messages come again: `_record_id` drops them

The same batch tried again writes the same address, where the object of the first try is found and described.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from service.core.datasets import NAME
from service.core.errors import RejectedError
from service.core.events import FileLanded
from service.core.layer import Outcome
from service.core.marks import MARK_ATTRIBUTE, LandedMarks, Mark
from service.core.model import DATASET_ATTRIBUTE, Batch, Message, Outgoing, Sorted
from service.core.notice import File, FileNotice
from service.core.ports import Means, Queue
from service.core.zones import Zone, marks_key, raw_key
from service.land.encode import SCHEMA, encode


@dataclass(frozen=True, slots=True)
class Source:
    """The records queue's name, and the datasets that its messages may belong to."""

    queue_name: str
    datasets: frozenset[str]
    default_dataset: str | None

    def sorted(self, message: Message) -> Sorted[None]:
        """Which dataset's pile it belongs to: that of its attribute `dataset`, else the queue's default."""
        dataset = message.text(DATASET_ATTRIBUTE) or self.default_dataset
        if dataset is None:
            raise RejectedError("unknown_dataset", "the message has no attribute `dataset` and the queue no default")
        if dataset not in self.datasets:
            told = repr(dataset) if NAME.fullmatch(dataset) else "that name"
            raise RejectedError(
                "unknown_dataset", f"there is no definition for dataset {told}: add datasets/<name>.toml"
            )
        if not message.is_text:
            raise RejectedError(
                "bad_encoding", "the body or an attribute holds half a surrogate pair, which is no text"
            )
        return Sorted(dataset, None, items=1, size_bytes=message.size_bytes)


class Land:
    """Stores message bodies exactly as they came, one dataset a file. Rejects only what has no dataset of ours."""

    name = "land"

    def __init__(self, source: Source, *, raw: Zone, errors: Zone, refine_queue: Queue, means: Means) -> None:
        self._source = source
        self._raw = raw
        self._errors = errors
        self._refine_queue = refine_queue
        self._means = means

    def sort(self, message: Message) -> Sorted[None]:
        """By dataset."""
        return self._source.sorted(message)

    async def handle(self, batch: Batch[None]) -> Outcome[None]:
        """Store one object and announce it. A message that is in the batch twice is stored once."""
        messages = list({held.message.message_id: held.message for held in batch.held}.values())
        body = await self._means.threads.run(encode, messages, self._source.queue_name)
        uri = self._raw.uri(raw_key(batch.key, batch.sealed_at, batch.batch_id))
        stored = await self._means.store.put_new(uri, body)
        marked = [message for message in messages if MARK_ATTRIBUTE in message.attributes]
        if marked:
            await self._store_marks(batch.batch_id, uri, marked)
        notice = FileNotice(
            dataset=batch.key,
            zone=self._raw.name,
            files=[File(stored.uri, stored.etag, stored.content_length_bytes, rows=len(messages))],
            columns=[(field.name, str(field.type)) for field in SCHEMA],
            batch_id=batch.batch_id,
            definition="",
            produced_at=self._means.clock.now(),
        )
        await self._refine_queue.send([Outgoing(notice.to_json())])
        self._means.emit(FileLanded(batch.key, len(messages), stored.content_length_bytes))
        return Outcome()

    async def _store_marks(self, batch_id: str, raw_file: str, marked: Sequence[Message]) -> None:
        """Say where the messages that had been sent back are now: by that a round of reprocessing knows its end."""
        body = await self._means.threads.run(_marks, raw_file, marked)
        await self._means.store.put_new(self._errors.uri(marks_key(batch_id)), body)


def _marks(raw_file: str, marked: Sequence[Message]) -> bytes:
    found = (Mark.of(message) for message in marked)
    return LandedMarks(raw_file, [mark for mark in found if mark is not None]).to_json()
