"""Layer 2: notices about refined files become few, large COPYs.

Durable effects, in this order: the transaction of `commit.py` → (by the intake) notices deleted. A crash in between
brings the notices again; the ledger knows the files, and they are settled.

One COPY a table at a time; what arrives meanwhile forms the next group. When the data of a group is refused, the group
is halved until the guilty file stands alone: it goes to dead letters, all others are loaded.
"""

from collections.abc import Mapping, Sequence

from service.core.datasets import Dataset, sound
from service.core.errors import RejectedError
from service.core.events import GroupLoaded
from service.core.layer import Outcome
from service.core.model import Batch, Message, Sorted
from service.core.notice import File, FileNotice
from service.core.ports import Means
from service.core.zones import Zone, refined_place
from service.load.commit import Commit, Group
from service.load.preflight import Preflight

Columns = tuple[tuple[str, str], ...]


class Load:
    """Coalesces notices of a dataset into groups and commits them."""

    name = "load"

    def __init__(
        self, datasets: Mapping[str, Dataset], *, refined: Zone, preflight: Preflight, commit: Commit, means: Means
    ) -> None:
        self._datasets = datasets
        self._refined = refined
        self._preflight = preflight
        self._commit = commit
        self._means = means

    def sort(self, message: Message) -> Sorted[FileNotice]:
        """By dataset. Only our own notices about the refined zone count here.

        Whether the files' columns fit is the live table's to say, not today's definition's: files that were written
        under yesterday's load as well, and those of tomorrow's wait for its migration.
        """
        notice = FileNotice.from_json(message.body)
        if notice.zone != self._refined.name:
            raise RejectedError(
                "bad_notice", f"only notices about the {self._refined.name} zone are taken on this queue"
            )
        if any(refined_place(self._refined, file.uri).dataset != notice.dataset for file in notice.files):
            raise RejectedError("bad_notice", "the notice names another dataset's file")
        if notice.dataset not in self._datasets:
            raise RejectedError("unknown_dataset", "there is no definition for the notice's dataset")
        if notice.replaces is not None:
            raise RejectedError("bad_notice", "this version does not replay: the notice says `replaces`")
        if len(dict(notice.columns)) < len(notice.columns) or not all(sound(*column) for column in notice.columns):
            raise RejectedError("bad_notice", "the notice names a column or a type that no definition has")
        return Sorted(notice.dataset, notice, items=len(notice.files), size_bytes=notice.size_bytes)

    async def handle(self, batch: Batch[FileNotice]) -> Outcome[FileNotice]:
        """Load the batch's files; a notice is rejected when one of its files is refused."""
        dataset = self._datasets[batch.key]
        refused: dict[str, RejectedError] = {}
        for columns, files in _sharing([held.value for held in batch.held]):
            await self._preflight.table(dataset.name, columns)
            refused |= await self._preflight.files(files)
            whole = [file for file in files if file.uri not in refused]
            if whole:
                refused |= await self._load(Group(dataset, columns, whole, batch.batch_id))
        return Outcome(
            [
                (held, refused[bad[0]])
                for held in batch.held
                if (bad := [file.uri for file in held.value.files if file.uri in refused])
            ]
        )

    async def _load(self, group: Group) -> dict[str, RejectedError]:
        began = self._means.clock.monotonic()
        try:
            done = await self._commit.run(group)
        except RejectedError as wrong:
            if len(group.files) == 1:
                return {group.files[0].uri: await self._commit.explained(group.files[0], wrong)}
            return await self._load(_part(group, 0)) | await self._load(_part(group, 1))
        self._means.emit(
            GroupLoaded(
                dataset=group.dataset.name,
                files=done.files,
                known_files=done.known_files,
                rows=done.rows,
                inserted=done.inserted,
                duplicate=done.rows - done.inserted,
                seconds=self._means.clock.monotonic() - began,
            )
        )
        return {}


def _sharing(notices: Sequence[FileNotice]) -> list[tuple[Columns, list[File]]]:
    """Files that may share a COPY, each once: the same columns in the same order, written under one definition.

    Under two definitions one raw file gives two files of the same rows; in one COPY nobody could tell whose a row is.
    """
    groups: dict[tuple[Columns, str], dict[str, File]] = {}
    for notice in notices:
        files = groups.setdefault((tuple(notice.columns), notice.definition), {})
        files.update((file.uri, file) for file in notice.files)
    return [(columns, list(files.values())) for (columns, _), files in groups.items()]


def _part(group: Group, half: int) -> Group:
    middle = len(group.files) // 2
    files = group.files[:middle] if half == 0 else group.files[middle:]
    return Group(group.dataset, group.columns, files, group.group_id)
