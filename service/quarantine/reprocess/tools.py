"""What the commands work with: made from the settings by whoever starts them, from fakes by tests."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from service.core.notice import FileNotice
from service.core.ports import Means, Queue
from service.core.zones import Zone
from service.quarantine.reprocess.rehearse import Rehearse
from service.quarantine.states import States

Loaded = Callable[[str, Sequence[str]], Awaitable[int]]
"""A dataset and at most `RECORD_IDS_MAX` distinct `_record_id`s → how many of them are in its table."""
RECORD_IDS_MAX = 5_000
NoticeOf = Callable[[str, str], Awaitable[FileNotice]]
"""A dataset and the address of a raw file of it → the notice that land sent about it, as of now.

Raises RejectedError where the file is gone or cannot be read, or where the address is no raw file's.
"""


@dataclass(frozen=True, slots=True)
class Tools:
    """`queues` are those on which things failed, by layer. `token` gives 16 hexadecimal digits that nobody else has."""

    errors: Zone
    means: Means
    queues: Mapping[str, Queue]
    reprocess_queue: Queue
    rehearse: Rehearse
    loaded: Loaded
    notice_of: NoticeOf
    attempts_max: int
    token: Callable[[], str]

    @property
    def states(self) -> States:
        """What is known of each fingerprint."""
        return States(self.errors, self.means)
