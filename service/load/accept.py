"""Which messages are notices that the load queue takes: decided from the message alone, without asking anybody."""

from dataclasses import dataclass

from service.core.datasets import UNDEFINED, sound
from service.core.errors import RejectedError
from service.core.errors_dataset import ERRORS
from service.core.model import Message, Sorted
from service.core.notice import FileNotice
from service.core.zones import Zone, raw_place, refined_place


@dataclass(frozen=True, slots=True)
class Accepted:
    """The zones, and the defined datasets. The errors zone holds the files about what was rejected, and no others."""

    datasets: frozenset[str]
    raw: Zone
    refined: Zone
    errors: Zone

    def sorted(self, message: Message) -> Sorted[FileNotice]:
        """By dataset; those without a definition share a pile.

        Only our own notices about the refined zone count here, and those about error files.

        Whether the files' columns fit is the live table's to say, not today's definition's: files that were written
        under yesterday's load as well, and those of tomorrow's wait for its migration.
        """
        notice = FileNotice.from_json(message.body)
        zone = self.errors if notice.dataset == ERRORS.name else self.refined
        if notice.zone != zone.name:
            raise RejectedError(
                "bad_notice", f"of this dataset only notices about the {zone.name} zone are taken on this queue"
            )
        if any(refined_place(zone, file.uri).dataset != notice.dataset for file in notice.files):
            raise RejectedError("bad_notice", "the notice names another dataset's file")
        self._check_replay(notice)
        if len(dict(notice.columns)) < len(notice.columns) or not all(sound(*column) for column in notice.columns):
            raise RejectedError("bad_notice", "the notice names a column or a type that no definition has")
        if notice.event_time and notice.event_time not in dict(notice.columns):
            raise RejectedError("bad_notice", "the notice names an event time that its files do not have")
        key = notice.dataset if notice.dataset in self.datasets | {ERRORS.name} else UNDEFINED
        return Sorted(key, notice, items=max(1, len(notice.files)), size_bytes=notice.size_bytes)

    def _check_replay(self, notice: FileNotice) -> None:
        """A replay replaces what was made of one raw file, and of that one alone: rows and objects will be removed."""
        if notice.replaces is None:
            return
        if notice.dataset == ERRORS.name:
            raise RejectedError("bad_notice", "the files about what was rejected are never replayed")
        if {file.uri for file in notice.files} & {*notice.replaces.uris}:
            raise RejectedError("bad_notice", "a replay's files have addresses of their own: this one replaces itself")
        raw = raw_place(self.raw, notice.replaces.raw_file)
        named = [*(file.uri for file in notice.files), *notice.replaces.uris]
        places = [refined_place(self.refined, uri) for uri in named]
        if raw.dataset != notice.dataset or any(
            (place.dataset, place.batch_id) != (raw.dataset, raw.batch_id) for place in places
        ):
            raise RejectedError("bad_notice", "the replay names a file that was not made of the raw file it replaces")
