"""Fingerprints: one for each cause."""

import pytest

from service.core.fingerprints import fingerprint

PINNED = "ea1cfd1b6932c0a4"


def test_a_fingerprint_is_pinned_because_it_names_objects_and_rows() -> None:
    assert fingerprint("refine", "things", "bad_type", "x") == PINNED


@pytest.mark.parametrize(
    "other",
    [
        ("load", "things", "bad_type", "x"),
        ("refine", "others", "bad_type", "x"),
        ("refine", "things", "too_long", "x"),
        ("refine", "things", "bad_type", "y"),
        ("refine", "things", "bad_type", ""),
        ("refine", "things", "bad_type", None),
        ("refine", "thing", "sbad_type", "x"),
    ],
)
def test_another_cause_has_another(other: tuple[str, str, str, str | None]) -> None:
    assert fingerprint(*other) != PINNED


def test_any_text_has_one() -> None:
    assert len(fingerprint("", "\ud800", "\x00", "é")) == len(PINNED)
