"""What failures of one kind have in common: 10,000 records that fail for one cause are one line."""

import hashlib
import json

DIGITS = 16


def fingerprint(layer: str, dataset: str, code: str, field: str | None) -> str:
    """16 hexadecimal digits, the same for all failures of that kind. `field` is a column or a path, never a value."""
    facts = json.dumps([layer, dataset, code, field])
    return hashlib.sha256(facts.encode()).hexdigest()[:DIGITS]
