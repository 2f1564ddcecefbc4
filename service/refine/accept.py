"""Which messages are notices that the refine queue takes: decided from the message alone, without asking anybody."""

from collections.abc import Collection

from service.core.errors import RejectedError
from service.core.model import Message, Sorted
from service.core.notice import FileNotice
from service.core.zones import Zone, raw_place


def accepted(message: Message, raw: Zone, datasets: Collection[str]) -> Sorted[FileNotice]:
    """By dataset. Only our own notices about the raw zone count here."""
    notice = FileNotice.from_json(message.body)
    if notice.zone != raw.name:
        raise RejectedError("bad_notice", f"only notices about the {raw.name} zone are taken on this queue")
    if any(raw_place(raw, file.uri).dataset != notice.dataset for file in notice.files):
        raise RejectedError("bad_notice", "the notice names another dataset's file")
    if notice.replaces is not None and [file.uri for file in notice.files] != [notice.replaces.raw_file]:
        raise RejectedError("bad_notice", "a replay is of the one raw file that its notice names")
    if notice.dataset not in datasets:
        raise RejectedError("unknown_dataset", "there is no definition for the notice's dataset")
    return Sorted(notice.dataset, notice, items=len(notice.files), size_bytes=notice.size_bytes)
