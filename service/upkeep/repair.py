"""`acequia reconcile --repair`: what was found without a notice is announced again.

One durable effect a piece: a message on the refine queue (a raw file, or its replay) or on the load queue (refined
files of one batch). Each is harmless to repeat: addresses are found taken, and the ledger knows its files. So a repair
that was stopped is run again.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass

from service.core.datasets import Dataset
from service.core.errors import RejectedError
from service.core.model import Outgoing
from service.upkeep.explain import Facts, Finding, Mend
from service.upkeep.notices import Described, described, load_notices
from service.upkeep.tools import Tools


@dataclass(frozen=True, slots=True)
class Mended:
    """A file was announced again, and how; or `why` it could not be."""

    mend: Mend
    uri: str
    why: str = ""


class Repair:
    """Mends what the findings of a day say can be."""

    def __init__(self, tools: Tools, dataset: str) -> None:
        self._tools = tools
        self._dataset: Dataset = tools.dataset(dataset)

    async def run(self, findings: Iterable[Finding]) -> AsyncIterator[Mended]:
        """One raw file after the other; yields what was done when it is done. Raises TransientError, SetupError."""
        wanted: dict[str, tuple[Facts, set[Mend]]] = {}
        for finding in findings:
            if finding.mend is not None and finding.facts is not None:
                wanted.setdefault(finding.facts.uri, (finding.facts, set()))[1].add(finding.mend)
        for facts, mends in wanted.values():
            if "announce" in mends:
                yield await self._announce(facts)
            elif "replay" in mends:
                yield await self._replay(facts)
            else:
                for mended in await self._load(facts):
                    yield mended

    async def _announce(self, facts: Facts) -> Mended:
        if facts.raw is None:
            return Mended("announce", facts.uri, "it is gone")
        try:
            await self._tools.announce_raw(self._dataset, facts.raw)
        except RejectedError as wrong:
            return Mended("announce", facts.uri, wrong.sentence)
        return Mended("announce", facts.uri)

    async def _replay(self, facts: Facts) -> Mended:
        if facts.raw is None:
            return Mended("replay", facts.uri, "it is gone")
        old = [one.uri for one in facts.outputs]
        try:
            booked = [one.booked for one in facts.outputs if one.booked is not None]
            await self._tools.announce_replay(self._dataset, facts.raw, old, booked)
        except RejectedError as wrong:
            return Mended("replay", facts.uri, wrong.sentence)
        return Mended("replay", facts.uri)

    async def _load(self, facts: Facts) -> Sequence[Mended]:
        """All refined files of the raw file that the ledger does not know."""
        whole: list[Described] = []
        refused: list[Mended] = []
        for output in facts.outputs:
            if output.booked is None and output.made is not None:
                try:
                    read = await self._tools.read(output.uri)
                    whole.append(await self._tools.threads.run(described, self._dataset, output.made, read))
                except RejectedError as wrong:
                    refused.append(Mended("load", output.uri, f"{wrong.sentence}: replay the day"))
        for notice in load_notices(self._dataset, self._tools.refined.name, whole):
            await self._tools.load_queue.send([Outgoing(notice.to_json())])
        return [*(Mended("load", one.made.uri) for one in whole), *refused]
