"""What a batch of failures adds to the count of each fingerprint."""

import hashlib
from collections.abc import Mapping, Sequence

from service.quarantine.arrivals import Failure
from service.quarantine.known import Brought
from service.quarantine.states import Failed


def failed_of(failures: Sequence[Failure], counts: Mapping[str, int]) -> list[tuple[str, Failed]]:
    """What is counted of each fingerprint, letter by letter, with an id that tells the same batch of them again.

    `counts` says how many failures each letter brought. What was sent back and failed once more has the same
    `error_id`, and is counted again: as another attempt, in another letter.
    """
    alike: dict[str, list[Failure]] = {}
    for failure in failures:
        alike.setdefault(failure.fingerprint, []).append(failure)
    return [(_count_id(same), _failed(name, same, counts)) for name, same in alike.items()]


def _count_id(same: Sequence[Failure]) -> str:
    facts = sorted(
        {f"{failure.error_id} {failure.attempts} {failure.round_id} {failure.definition}" for failure in same}
    )
    return hashlib.sha256("\n".join(facts).encode("utf-8", "replace")).hexdigest()[:16]


def _failed(fingerprint: str, same: Sequence[Failure], counts: Mapping[str, int]) -> Failed:
    letters = {one.letter_id: _brought(one, counts.get(one.letter_id, 0)) for one in same}
    return Failed(
        fingerprint=fingerprint,
        layer=same[0].layer,
        dataset=same[0].dataset,
        code=same[0].code,
        field=same[0].field,
        sentence=same[0].sentence,
        count=sum(one.count for one in letters.values()),
        first=min(failure.first_failed_at for failure in same),
        last=max(failure.last_failed_at for failure in same),
        letters=tuple(letters.values()),
    )


def _brought(failure: Failure, count: int) -> Brought:
    return Brought(failure.letter_id, count, failure.raw_file or "", failure.places, bool(failure.round_id))
