"""Zones of the data lake and the keys under them. Only a configured zone is ever read or written."""

import re
from dataclasses import dataclass
from datetime import date, datetime
from urllib.parse import urlsplit

from service.core.errors import RejectedError

BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
KEY = re.compile(r"[A-Za-z0-9_.=-]+(?:/[A-Za-z0-9_.=-]+)*")
"""What our own keys are made of: no empty part, nothing that a shell, a URL or SQL would read twice."""
_DATASET, _DAY = r"(?P<dataset>[a-z][a-z0-9_]*)", r"dt=\d{4}-\d\d-\d\d"
_BATCH = r"(?P<batch_id>\d{8}T\d{9}Z-[0-9a-f]{16})"
RAW_KEY = re.compile(rf"{_DATASET}/(?P<partition>{_DAY}/hr=\d\d)/{_BATCH}\.parquet")
REFINED_KEY = re.compile(rf"{_DATASET}/(?P<partition>{_DAY}(?:/hr=\d\d)?)/{_BATCH}\.[0-9a-f]{{12}}\.parquet")
URI_BYTES_MAX = 1_024
"""The ledger's column for it; S3's own limit for a key."""


@dataclass(frozen=True, slots=True)
class Zone:
    """A bucket and a prefix in it, such as `s3://lake-raw/events`."""

    name: str
    bucket: str
    prefix: str

    @classmethod
    def parse(cls, name: str, uri: str) -> "Zone":
        """Read `s3://bucket/prefix`; raises ValueError with a sentence where it is something else."""
        parts = urlsplit(uri)
        prefix = parts.path.strip("/")
        if parts.scheme != "s3" or not BUCKET.fullmatch(parts.netloc) or parts.query or parts.fragment:
            raise ValueError("a zone is written s3://bucket/prefix")
        if prefix and not KEY.fullmatch(prefix):
            raise ValueError("a zone's prefix has letters, digits and _ . = - between its slashes")
        return cls(name, parts.netloc, prefix)

    def uri(self, key: str) -> str:
        """The full address of a key under this zone."""
        return f"s3://{self.bucket}/{self.prefix}/{key}" if self.prefix else f"s3://{self.bucket}/{key}"

    def holds(self, uri: str) -> bool:
        """Whether the address lies in this zone, with no way of stepping out of it."""
        tail = uri.removeprefix(self.uri(""))
        return tail != uri and len(uri) <= URI_BYTES_MAX and KEY.fullmatch(tail) is not None and ".." not in tail


def split_uri(uri: str) -> tuple[str, str]:
    """Bucket and key of an `s3://` address."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def raw_key(dataset: str, sealed_at: datetime, batch_id: str) -> str:
    """Where a landed batch lies: by arrival, UTC."""
    return f"{dataset}/dt={sealed_at:%Y-%m-%d}/hr={sealed_at:%H}/{batch_id}.parquet"


def refined_key(dataset: str, partition: str, raw_batch_id: str, definition: str) -> str:
    """Where a refined file lies: by event time. The definition's hash makes a replay another object."""
    return f"{dataset}/{partition}/{raw_batch_id}.{definition}.parquet"


@dataclass(frozen=True, slots=True)
class Place:
    """What a key of ours tells about its file: whose it is, which part of it, and which landed batch it stems from."""

    dataset: str
    partition: str
    batch_id: str


def raw_place(zone: Zone, uri: str) -> Place:
    """Read a raw file's address; raises RejectedError (`bad_notice`) for one that land would not write."""
    return _place(RAW_KEY, zone, uri)


def refined_place(zone: Zone, uri: str) -> Place:
    """Read a refined file's address; raises RejectedError (`bad_notice`) for one that refine would not write."""
    return _place(REFINED_KEY, zone, uri)


def _place(shape: re.Pattern[str], zone: Zone, uri: str) -> Place:
    found = shape.fullmatch(uri.removeprefix(zone.uri(""))) if zone.holds(uri) else None
    if found is None:
        raise RejectedError("bad_notice", f"the notice names an object that is no file of ours in the {zone.name} zone")
    return Place(found["dataset"], found["partition"], found["batch_id"])


def batch_of(uri: str) -> str:
    """The landed batch that a raw or refined file stems from: its name begins with it."""
    return uri.rpartition("/")[2].partition(".")[0]


def original_key(failed_on: date, error_id: str) -> str:
    """Where the original of a dead letter lies that is too large to travel with it."""
    return f"originals/dt={failed_on:%Y-%m-%d}/{error_id}.json"


def originals_key(failed_on: date, batch_id: str) -> str:
    """Where the originals of a batch of dead letters lie together."""
    return f"originals/dt={failed_on:%Y-%m-%d}/{batch_id}.parquet"


def marks_key(batch_id: str) -> str:
    """Where it stands which messages of a landed batch had been sent back."""
    return f"marks/{batch_id}.json"


def manifest_key(dataset: str, group_id: str) -> str:
    """Where a COPY manifest lies; the underscore keeps it out of readers that scan the partitions."""
    return f"_manifests/{dataset}/{group_id}.manifest"
