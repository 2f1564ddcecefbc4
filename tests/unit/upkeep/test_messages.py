"""Messages of a day: told apart, and looked for in other files."""

from collections.abc import Sequence

from service.upkeep.messages import Messages, counted
from service.upkeep.tools import Held


def of(**files: Sequence[str]) -> Messages:
    """Files by name; each message holds two records."""
    messages = Messages()
    for uri, ids in files.items():
        messages.add(uri, counted(b"", lambda _, ids=ids: Held(ids, [2] * len(ids))))  # type: ignore[misc]
    return messages


def test_a_message_counts_once_however_often_it_was_delivered() -> None:
    assert of(one=["a", "b"], two=["b", "c"], three=["b"]).distinct() == (3, 6)
    assert Messages().distinct() == (0, 0)


def test_a_file_lies_elsewhere_when_each_of_its_messages_does() -> None:
    messages = of(orphan=["a", "b"], left=["a", "x"], right=["b"], lost=["a", "c"])
    assert messages.elsewhere(["orphan", "lost"], {"left", "right"}) == {"orphan"}
    assert messages.elsewhere(["orphan", "lost"], {"left"}) == set()
    assert messages.elsewhere(["orphan"], set()) == set()


def test_a_file_of_two_lost_copies_is_not_elsewhere() -> None:
    assert of(one=["a"], two=["a"]).elsewhere(["one", "two"], set()) == set()
