"""Who applies, from where, and which steps they will go through until a card is ordered or they give up."""

import random
from dataclasses import dataclass, field
from datetime import timedelta, timezone
from typing import NamedTuple

CHANNELS = ("mobile", "web", "branch", "partner")
_CHANNEL_WEIGHTS = (48, 30, 14, 8)

_HOURS_FROM_UTC = {"PT": 0, "NL": 1, "PL": 1, "GR": 2, "IN": 5.5, "JP": 9, "BR": -3, "MX": -6}
_ZONES = {country: timezone(timedelta(hours=hours)) for country, hours in _HOURS_FROM_UTC.items()}
_COUNTRIES = tuple(_HOURS_FROM_UTC)
_GIVEN_NAMES = ("Zoë", "Łukasz", "Αθηνά", "João", "さくら", "आशा", "Renée", "Ana", "Søren", "Иван", "Chloë", "Tom")
_FAMILY_NAMES = ("Müller", "Nowak", "Παππάς", "Gonçalves", "田中", "शर्मा", "O'Neil", "de Vries", "Ñíguez", "Smith")
_PRODUCTS = ("everyday", "everyday", "savings", "student", "premium")

_GIVES_UP = 0.055
"""Chance of giving up before each step after the first: about two applicants in five never finish."""
_REFUSED = {"passport": 0.06, "identity_card": 0.09, "residence_permit": 0.18, "utility_bill": 0.24}
_REFUSED_MORE_ON_WEB = 1.6
_UPLOADS_MAX = 3


class Stage(NamedTuple):
    """One step still to come; `document` and `accepted` mean something only where a document is handled."""

    step: str
    document: str = ""
    accepted: bool = True


@dataclass(frozen=True, slots=True)
class Applicant:
    """A fictitious person and the stages before them, first one last so that `pop` takes it."""

    applicant_id: str
    name: str
    email: str
    document_number: str
    country: str
    zone: timezone
    channel: str
    product: str
    stages: list[Stage] = field(default_factory=list)


def new_applicant(rng: random.Random, number: int) -> Applicant:
    """The applicant with that number, at the start of the journey."""
    country = rng.choice(_COUNTRIES)
    channel = rng.choices(CHANNELS, _CHANNEL_WEIGHTS)[0]
    return Applicant(
        applicant_id=f"P-{number:08d}",
        name=f"{rng.choice(_GIVEN_NAMES)} {rng.choice(_FAMILY_NAMES)}",
        email=f"applicant.{number}@example.org",
        # No country has the code ZZ, and no authority issues a number of zeros and a serial.
        document_number=f"ZZ-0000-{number:08d}",
        country=country,
        zone=_ZONES[country],
        channel=channel,
        product=rng.choice(_PRODUCTS),
        stages=_journey(rng, channel)[::-1],
    )


def _journey(rng: random.Random, channel: str) -> list[Stage]:
    """All stages in order, cut short by giving up."""
    full = [
        Stage("account_opened"),
        *_document(rng, channel, rng.choice(("passport", "identity_card", "residence_permit"))),
        *_document(rng, channel, "utility_bill"),
        Stage("address_confirmed"),
        *([Stage("liveness_checked")] if channel != "branch" else []),
        Stage("risk_scored"),
        Stage("contract_signed"),
        Stage("card_ordered"),
    ]
    for done in range(1, len(full)):
        if rng.random() < _GIVES_UP:
            return [*full[:done], Stage("application_abandoned", document=full[done].step)]
    return full


def _document(rng: random.Random, channel: str, kind: str) -> list[Stage]:
    """Uploads and checks of one document until it is accepted; the last try always is."""
    refused = _REFUSED[kind] * (_REFUSED_MORE_ON_WEB if channel == "web" else 1)
    stages = []
    for attempt in range(1, _UPLOADS_MAX + 1):
        accepted = attempt == _UPLOADS_MAX or rng.random() >= refused
        stages += [Stage("document_uploaded", kind), Stage("document_checked", kind, accepted)]
        if accepted:
            break
    return stages
