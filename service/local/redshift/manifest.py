"""The manifest of a COPY: which files, how long, and whether each must be there."""

from dataclasses import dataclass
from typing import Any

import orjson

from service.local.redshift.objects import Location
from service.local.redshift.refusals import OWN_LIMIT, ScanError

MANIFEST_BYTES_MAX = 16 * 1024 * 1024
MANIFEST_ENTRIES_MAX = 10_000

_CODE_MANIFEST = 15003
_LOCATION = "spectrum_manifest.cpp"


@dataclass(frozen=True)
class Entry:
    """One file to load. A file that is listed twice is loaded twice."""

    location: Location
    size_bytes: int
    mandatory: bool


def read_manifest(content: bytes) -> list[Entry]:
    """The entries in their order. Raises ScanError."""
    try:
        document = orjson.loads(content)
    except orjson.JSONDecodeError:
        raise _wrong(f"{OWN_LIMIT} The manifest is not JSON.") from None
    entries = document.get("entries") if isinstance(document, dict) else None
    if not isinstance(entries, list) or not entries:
        raise _wrong(f"{OWN_LIMIT} The manifest has no list of entries.")
    if len(entries) > MANIFEST_ENTRIES_MAX:
        raise _wrong(f"{OWN_LIMIT} The manifest has more than {MANIFEST_ENTRIES_MAX} entries.")
    return [_entry(entry) for entry in entries]


def _entry(entry: Any) -> Entry:
    if not isinstance(entry, dict) or not str(entry.get("url", "")).startswith("s3://"):
        raise _wrong(f"{OWN_LIMIT} An entry of the manifest has no s3:// url.")
    if "meta" not in entry:
        raise _wrong("File entry does not have 'meta' key.")
    meta = entry["meta"]
    size_bytes = meta.get("content_length") if isinstance(meta, dict) else None
    if type(size_bytes) is not int or size_bytes < 0:
        raise _wrong(f"{OWN_LIMIT} A file entry's 'meta' does not have a content_length in bytes.")
    mandatory = entry.get("mandatory", False)
    if type(mandatory) is not bool:
        raise _wrong(f"{OWN_LIMIT} A file entry's 'mandatory' is neither true nor false.")
    return Entry(Location.of(entry["url"]), size_bytes, mandatory)


def _wrong(context: str) -> ScanError:
    return ScanError(_CODE_MANIFEST, context, message=context, location=_LOCATION)
