"""What each kind of onboarding step reports: its own nested fields, some mapped by the dataset and some not."""

import random
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from service.local.samples.applicants import Applicant, Stage

Fields = dict[str, Any]


class Visit(NamedTuple):
    """One step being taken: by whom, at which local time, with the source of everything left to chance."""

    who: Applicant
    stage: Stage
    at: datetime
    rng: random.Random

    def happens(self, share: float) -> bool:
        """True in that share of all visits."""
        return self.rng.random() < share


_CITIES = ("Lisboa", "Łódź", "Αθήνα", "東京", "मुंबई", "São Paulo", "'s-Hertogenbosch", "Mérida")
_CURRENCIES = {"PT": "EUR", "NL": "EUR", "GR": "EUR", "PL": "PLN", "IN": "INR", "JP": "JPY", "BR": "BRL", "MX": "MXN"}
_REFUSALS = ("blurred", "expired", "cropped", "glare", "name_differs", "too_old")
_GIVEN_UP = ("too_long", "document_refused", "changed_mind", "no_answer", "went_elsewhere")
_COMMENTS = (
    "",
    "Call again next week.",
    "The app asked twice for the same document — «não percebo porquê» — and a branch was closer anyway. 🙄",
)
_SIGNALS = ("new_device", "shared_address", "name_match", "velocity", "proxy")
_SIMILAR_ENOUGH = 0.7
_BANDS = ("low", "low", "medium", "high")


def _account_opened(visit: Visit) -> Fields:
    return {
        "customer": {
            "full_name": visit.who.name,
            "email": visit.who.email,
            "document_number": visit.who.document_number,
            "birth_year": visit.rng.randint(1940, 2006),
            "preferred_contact": visit.rng.choice(("email", "phone", "post")),
        },
        "account": {
            "product": visit.who.product,
            "currency": _CURRENCIES[visit.who.country],
            "declared_income": _amount(visit.rng, 12_000_000) if visit.happens(0.9) else None,
            "marketing_consent": visit.happens(0.4),
            "terms": {"version": "2.3", "pages_read": visit.rng.randint(0, 14)},
        },
    }


def _document_uploaded(visit: Visit) -> Fields:
    document: Fields = {
        "kind": visit.stage.document,
        "pages": visit.rng.randint(1, 6),
        "size_bytes": visit.rng.randint(40_000, 9_000_000),
        "file": {
            "type": visit.rng.choice(("image/jpeg", "application/pdf")),
            "checksum": f"{visit.rng.getrandbits(64):016x}",
        },
    }
    if visit.stage.document != "utility_bill":
        document["expires_on"] = (visit.at.date() + timedelta(days=visit.rng.randint(-200, 3600))).isoformat()
    return {"document": document}


def _document_checked(visit: Visit) -> Fields:
    check: Fields = {
        "result": "accepted" if visit.stage.accepted else "refused",
        "seconds": round(visit.rng.uniform(0.2, 95.0), 3),
        "engine": {"name": "reader", "build": visit.rng.randint(4100, 4180)},
    }
    if not visit.stage.accepted:
        check["reason"] = visit.rng.choice(_REFUSALS)
    return {"document": {"kind": visit.stage.document}, "check": check}


def _address_confirmed(visit: Visit) -> Fields:
    return {
        "address": {
            "street": f"Rua Imaginária {visit.rng.randint(1, 400)}",
            "city": visit.rng.choice(_CITIES),
            "postcode": f"00-{visit.rng.randint(0, 999):03d}" if visit.happens(0.95) else None,
            "proof": {"method": visit.rng.choice(("letter", "registry", "bill")), "age_days": visit.rng.randint(0, 90)},
        }
    }


def _liveness_checked(visit: Visit) -> Fields:
    similarity = round(visit.rng.betavariate(12, 1.5), 6)
    return {
        "liveness": {
            "similarity": similarity,
            "passed": similarity > _SIMILAR_ENOUGH,
            "frames": [visit.rng.randint(0, 255) for _ in "123"],
        },
        "device": {"os": visit.rng.choice(("android", "ios", "other")), "rooted": False}
        if visit.who.channel == "mobile"
        else None,
    }


def _risk_scored(visit: Visit) -> Fields:
    signals = [
        {"name": name, "weight": visit.rng.randint(1, 9)}
        for name in visit.rng.sample(_SIGNALS, visit.rng.randint(0, 3))
    ]
    return {
        "risk": {
            "score": visit.rng.randint(300, 850),
            "band": visit.rng.choice(_BANDS),
            "signals": signals,
            "model": {
                "name": "acquisition",
                "features": {"seen_before": visit.happens(0.1), "hour": visit.at.hour},
            },
        }
    }


def _contract_signed(visit: Visit) -> Fields:
    signed_at = visit.at - timedelta(seconds=visit.rng.randint(1, 50))
    return {
        "contract": {
            "number": f"C{visit.who.applicant_id[2:]}",
            "signed_at": signed_at.isoformat(),
            "valid_from": (visit.at.date() + timedelta(days=1)).isoformat(),
            "credit_limit": _amount(visit.rng, 900_000),
            "annexes": [{"name": name, "pages": visit.rng.randint(1, 9)} for name in ("fees", "privacy")],
        }
    }


def _card_ordered(visit: Visit) -> Fields:
    return {
        "card": {
            "product": "debit" if visit.who.product != "premium" else "credit",
            # No scheme issues numbers that begin with zeros.
            "number": f"0000 0000 {visit.rng.randint(0, 9999):04d} {visit.rng.randint(0, 9999):04d}",
            "delivery": {
                "method": visit.rng.choice(("post", "branch", "courier")),
                "fee_cents": visit.rng.choice((0, 0, 495)),
            },
        }
    }


def _application_abandoned(visit: Visit) -> Fields:
    return {
        "abandonment": {
            "reason": visit.rng.choice(_GIVEN_UP),
            "idle_minutes": visit.rng.randint(15, 9000),
            "comment": visit.rng.choice(_COMMENTS),
            "before": {"step": visit.stage.document, "reminders": visit.rng.randint(0, 3)},
        }
    }


def _amount(rng: random.Random, cents_max: int) -> str:
    """Money as the front ends send it: text, because a JSON number may lose its last cent on the way."""
    cents = rng.randint(0, cents_max)
    return f"{cents // 100}.{cents % 100:02d}"


FIELDS: Mapping[str, Callable[[Visit], Fields]] = {
    "account_opened": _account_opened,
    "document_uploaded": _document_uploaded,
    "document_checked": _document_checked,
    "address_confirmed": _address_confirmed,
    "liveness_checked": _liveness_checked,
    "risk_scored": _risk_scored,
    "contract_signed": _contract_signed,
    "card_ordered": _card_ordered,
    "application_abandoned": _application_abandoned,
}
"""The fields that a step adds to those that every event has."""
