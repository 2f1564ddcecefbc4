"""An SNS topic in memory, for the `Notifier` port."""

from tests.fakes.journal import Journal

SUBJECT_CHARACTERS_MAX = 99
TEXT_BYTES_MAX = 262_144


class FakeNotifier:
    """Keeps what was published. What the real one would alter is a fault of the publisher's, and is not taken."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.mails: list[tuple[str, str]] = []
        """Subject and text, in order."""

    async def publish(self, subject: str, text: str) -> None:
        """Keep it."""
        assert 0 < len(subject) <= SUBJECT_CHARACTERS_MAX, "a subject that SNS would refuse"
        assert subject == " ".join(subject.split()), "a subject that SNS would refuse"
        assert subject.isascii(), "a subject that SNS would refuse"
        assert subject.isprintable(), "a subject that SNS would refuse"
        assert 0 < len(text.encode()) <= TEXT_BYTES_MAX, "a text that SNS would refuse"
        with self._journal.act("sns publish") as done:
            self.mails.append((subject, text))
            done.append(subject)
