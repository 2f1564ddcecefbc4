"""Zones of the data lake and the keys under them. Only a configured zone is ever read or written."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from service.core.errors import RejectedError


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
        if parts.scheme != "s3" or not parts.netloc or parts.query or parts.fragment:
            raise ValueError("a zone is written s3://bucket/prefix")
        return cls(name, parts.netloc, parts.path.strip("/"))

    def uri(self, key: str) -> str:
        """The full address of a key under this zone."""
        return f"s3://{self.bucket}/{self.prefix}/{key}" if self.prefix else f"s3://{self.bucket}/{key}"

    def holds(self, uri: str) -> bool:
        """Whether the address lies in this zone, with no way of stepping out of it."""
        tail = uri.removeprefix(self.uri(""))
        return tail != uri and bool(tail) and ".." not in tail and "//" not in tail and "\\" not in tail


def confined(zone: Zone, uris: Iterable[str]) -> None:
    """Make sure that every address lies in the zone; raises RejectedError (`bad_notice`) otherwise."""
    if not all(zone.holds(uri) for uri in uris):
        raise RejectedError("bad_notice", f"the notice names an object outside the {zone.name} zone")


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


def manifest_key(dataset: str, group_id: str) -> str:
    """Where a COPY manifest lies; the underscore keeps it out of readers that scan the partitions."""
    return f"_manifests/{dataset}/{group_id}.manifest"
