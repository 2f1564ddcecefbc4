"""Which messages are notices that the refine queue takes: decided from the message alone, without asking anybody."""

from collections.abc import Collection

from service.core.datasets import UNDEFINED
from service.core.errors import RejectedError
from service.core.model import Message, Sorted
from service.core.notice import FileNotice
from service.core.zones import Zone, raw_place


def accepted(message: Message, raw: Zone, datasets: Collection[str]) -> Sorted[FileNotice]:
    """By dataset. Only our own notices about the raw zone count here; those without a definition share a pile."""
    notice = FileNotice.from_json(message.body)
    if notice.zone != raw.name:
        raise RejectedError("bad_notice", f"only notices about the {raw.name} zone are taken on this queue")
    if any(raw_place(raw, file.uri).dataset != notice.dataset for file in notice.files):
        raise RejectedError("bad_notice", "the notice names another dataset's file")
    if notice.replaces is not None and [file.uri for file in notice.files] != [notice.replaces.raw_file]:
        raise RejectedError("bad_notice", "a replay is of the one raw file that its notice names")
    key = notice.dataset if notice.dataset in datasets else UNDEFINED
    return Sorted(key, notice, items=len(notice.files), size_bytes=notice.size_bytes)
