"""Failure is a type, decided at the edge: wait, reject, or call the operator. Anything else is a bug and stops us.

`aws/faults.py` maps what vendors raise to these; nothing else looks at a vendor's exception, and nobody reads
message text to decide.
"""

import re
from typing import Literal, get_args

Code = Literal[
    "bad_encoding",
    "bad_json",
    "bad_envelope",
    "too_deep",
    "too_large",
    "unknown_dataset",
    "missing_required",
    "bad_type",
    "too_long",
    "bad_time",
    "bad_notice",
    "missing_object",
    "bad_file",
    "load_refused",
    "redriven",
]
"""Why something was rejected: a closed set, because it labels metrics and fingerprints."""

_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
CODES: frozenset[str] = frozenset(get_args(Code))


class AcequiaError(Exception):
    """The root of everything that this service raises on purpose."""


class TransientError(AcequiaError):
    """A dependency is down or busy: the same work can be tried again, and no record is to blame."""

    def __init__(self, dependency: str, reason: str) -> None:
        super().__init__(f"{dependency}: {reason}")
        self.dependency = dependency
        self.reason = reason


class ContendedError(TransientError):
    """Somebody else was at the same table: that work alone tries again, the dependency itself is well."""


class SetupError(AcequiaError):
    """Something outside the data must be mended by an operator; the sentence says what and how."""


class AbsentError(SetupError):
    """A setting names something that does not exist."""


class DatasetSetupError(SetupError):
    """The same, but for one dataset alone: the others go on."""


class RejectedError(AcequiaError):
    """This item will never pass as it is. The sentence never holds a value of the record.

    `file` is the one that the refusal itself names, as the refuser writes it.
    """

    def __init__(self, code: Code, sentence: str, *, column: str | None = None, file: str | None = None) -> None:
        super().__init__(sentence)
        self.code: Code = code
        self.sentence = sentence
        self.column = column
        self.file = file


def undefined() -> RejectedError:
    """For a notice of ours about a dataset that has no definition in this process: most likely it was deployed so."""
    return RejectedError("unknown_dataset", "there is no definition for the notice's dataset")


class DefinitionError(SetupError):
    """A dataset file is wrong: which file, where in it, and what would be right."""


def without_quoted(words: str) -> str:
    """A refuser's words without what stands in quotes there: it could be a value of the record."""
    return _QUOTED.sub("…", words)
