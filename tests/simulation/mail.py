"""What the errors zone says about mail, for whoever waits until nothing is left to tell."""

from collections.abc import Iterator, Mapping

from service.core.zones import Zone
from service.quarantine.mailbox import KEY, Mailbox
from service.quarantine.states import PREFIX, State
from tests.fakes.time import LoopClock

ERRORS = Zone.parse("errors", "s3://errors")


def mailbox(objects: Mapping[str, bytes]) -> Mailbox:
    """As it lies in the zone."""
    return Mailbox.from_json(objects.get(ERRORS.uri(KEY)))


def states(objects: Mapping[str, bytes]) -> Iterator[State]:
    """Every fingerprint that was counted."""
    for uri, body in sorted(objects.items()):
        if uri.startswith(ERRORS.uri(PREFIX)) and uri != ERRORS.uri(KEY):
            state = State.from_json(body)
            assert state is not None, f"{uri} is not as the service writes it"
            yield state


def all_told(objects: Mapping[str, bytes], hour_max: int) -> bool:
    """Whether everybody was mailed about each cause, or the hour's mails are used up; and nobody is sending one."""
    box, now = mailbox(objects), LoopClock().now()
    if box.claim is not None and (box.held(now) or box.claim.published_at is not None):
        return False
    return box.used(now) >= hour_max or all(state.mailed_at is not None for state in states(objects))
