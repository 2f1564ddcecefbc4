"""What each layer and the operator's commands call, on what; and what AWS asks for each call.

`test_roles.py` holds the roles of the templates against it, in both directions, and `test_observed.py` the calls that
processes make. Where the code calls something new, a line here is what both of them ask for.

Places are `records`, `records-dlq` … for queues, and a zone with the beginning of a key for objects, such as
`errors/originals/`; `raw/` is all of a zone.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

READ, WRITE = ("kms:Decrypt",), ("kms:GenerateDataKey", "kms:Decrypt")
"""Of the key that encrypts the queue, the bucket or the topic."""


@dataclass(frozen=True)
class Asked:
    """The IAM actions of a call: on the place itself, its bucket and its key. `source` says where AWS tells so."""

    actions: tuple[str, ...]
    source: str
    on_bucket: tuple[str, ...] = ()
    on_key: tuple[str, ...] = ()


_SQS = "SQS developer guide, actions of the API: batch calls ask for the right of the single call; key management: "
_S3 = "botocore's model of S3, Permissions of the call: "
ASKED: Mapping[str, Asked] = {
    "sqs:GetQueueUrl": Asked(("sqs:GetQueueUrl",), "service authorization reference, SQS"),
    "sqs:GetQueueAttributes": Asked(("sqs:GetQueueAttributes",), "service authorization reference, SQS"),
    "sqs:ReceiveMessage": Asked(("sqs:ReceiveMessage",), f"{_SQS}a consumer decrypts", on_key=READ),
    "sqs:DeleteMessageBatch": Asked(("sqs:DeleteMessage",), _SQS),
    "sqs:ChangeMessageVisibilityBatch": Asked(("sqs:ChangeMessageVisibility",), _SQS),
    "sqs:SendMessageBatch": Asked(("sqs:SendMessage",), f"{_SQS}a producer makes data keys", on_key=WRITE),
    "s3:PutObject": Asked(("s3:PutObject",), f"{_S3}s3:PutObject; both kms actions with SSE-KMS", on_key=WRITE),
    "s3:GetObject": Asked(
        ("s3:GetObject",), f"{_S3}s3:GetObject; s3:ListBucket for 404, else 403", ("s3:ListBucket",), READ
    ),
    "s3:HeadObject": Asked(
        ("s3:GetObject",), f"{_S3}HEAD asks for s3:GetObject; s3:ListBucket for 404, else 403", ("s3:ListBucket",)
    ),
    "s3:ListObjectsV2": Asked((), f"{_S3}s3:ListBucket", ("s3:ListBucket",)),
    "s3:DeleteObject": Asked(("s3:DeleteObject",), f"{_S3}s3:DeleteObject"),
    "s3:DeleteObjects": Asked(("s3:DeleteObject",), f"{_S3}s3:DeleteObject"),
    "sns:Publish": Asked(("sns:Publish",), "SNS developer guide, key management: publishers", on_key=WRITE),
    "ecs:UpdateTaskProtection": Asked(
        ("ecs:UpdateTaskProtection",),
        "ECS developer guide, task scale-in protection endpoint: the task's role needs it",
    ),
}

RECEIVED = (
    "sqs:GetQueueUrl",
    "sqs:ReceiveMessage",
    "sqs:DeleteMessageBatch",
    "sqs:ChangeMessageVisibilityBatch",
    "sqs:GetQueueAttributes",
)
"""Of the queue that a layer takes from: `intake/consume.py`, `intake/inflight.py`, `intake/crowd.py`."""
SENT = ("sqs:GetQueueUrl", "sqs:SendMessageBatch")
STORED = ("s3:PutObject", "s3:HeadObject", "s3:GetObject", "s3:DeleteObject")
"""`put_new`: what lies there already is looked at, and removed where it is broken (`aws/s3.py`)."""
REPLACED = ("s3:PutObject", "s3:GetObject")
LOOKED, READ_WHOLE, LISTED = ("s3:HeadObject",), ("s3:GetObject",), ("s3:ListObjectsV2",)

Uses = Mapping[str, Sequence[str]]
"""By place, the calls."""

USES: Mapping[str, Uses] = {
    "land": {
        "records": RECEIVED,
        "refine": SENT,
        "records-dlq": SENT,
        "raw/": STORED,
        "errors/originals/": STORED,  # a dead letter that is too large for a message
        "errors/marks/": STORED,  # where messages that had been sent back lie now
        "errors/_reach": LOOKED,
        "task": ("ecs:UpdateTaskProtection",),
    },
    "refine": {
        "refine": (*RECEIVED, "sqs:SendMessageBatch"),  # a paused dataset's notices
        "load": SENT,
        "refine-dlq": SENT,
        "raw/": (*READ_WHOLE, *LOOKED),
        "refined/": STORED,
        "errors/originals/": STORED,
        "errors/_reach": LOOKED,
        "task": ("ecs:UpdateTaskProtection",),
    },
    "load": {
        "load": (*RECEIVED, "sqs:SendMessageBatch"),
        "load-dlq": SENT,
        "refined/": (*LOOKED, "s3:DeleteObjects"),  # preflight; what a replay superseded
        "refined/_manifests/": STORED,
        "errors/errors/": LOOKED,
        "errors/originals/": STORED,
        "errors/_reach": LOOKED,
        "task": ("ecs:UpdateTaskProtection",),
    },
    "quarantine": {
        "records-dlq": RECEIVED,
        "refine-dlq": RECEIVED,
        "load-dlq": RECEIVED,
        "load": SENT,
        "reprocess": SENT,
        "raw/": READ_WHOLE,  # previews
        "errors/errors/": (*STORED, *LISTED),
        "refined/": LISTED,  # whether all of what was sent back is loaded
        "errors/originals/": STORED,
        "errors/fingerprints/": (*REPLACED, *LISTED),
        "errors/rounds/": (*REPLACED, *LISTED),
        "errors/marks/": (*READ_WHOLE, *LISTED),
        "raw/_reach": LOOKED,
        "errors/_reach": LOOKED,
        "topic": ("sns:Publish",),
        "task": ("ecs:UpdateTaskProtection",),
    },
    "operator": {
        "records": SENT,
        "refine": SENT,
        "load": SENT,
        "records-dlq": ("sqs:GetQueueUrl", "sqs:GetQueueAttributes"),
        "refine-dlq": ("sqs:GetQueueUrl", "sqs:GetQueueAttributes"),
        "load-dlq": ("sqs:GetQueueUrl", "sqs:GetQueueAttributes"),
        "reprocess": (
            "sqs:GetQueueUrl",
            "sqs:ReceiveMessage",
            "sqs:DeleteMessageBatch",
            "sqs:ChangeMessageVisibilityBatch",
        ),
        "raw/": (*READ_WHOLE, *LISTED),
        "refined/": (*READ_WHOLE, *LOOKED, *LISTED),
        "errors/": (*READ_WHOLE, *LISTED),
        "errors/errors/": STORED,
        "errors/fingerprints/": REPLACED,
        "errors/rounds/": (*STORED, *REPLACED),
    },
}
KEYS = {"raw": "RawKey", "refined": "LakeKey", "errors": "ErrorsKey"}

Right = tuple[str, str]
"""An action, and the resource that it is allowed on."""


def rights(uses: Uses, environment: str) -> set[Right]:
    """What AWS asks for these calls, as a policy would say it."""
    return {right for place, calls in uses.items() for call in calls for right in _rights(call, place, environment)}


def _rights(call: str, place: str, environment: str) -> Iterator[Right]:
    asked, resource, bucket, key = ASKED[call], *_resources(place, environment)
    yield from ((action, resource) for action in asked.actions)
    yield from ((action, bucket) for action in asked.on_bucket)
    yield from ((action, key) for action in asked.on_key)


def _resources(place: str, environment: str) -> tuple[str, str, str]:
    """A place's ARN, its bucket's, and its key's, as `templates.py` resolves them."""
    zone, _, start = place.partition("/")
    if zone in KEYS:
        bucket = f"arn:aws:s3:::acequia-{environment}-{zone}-123456789012-eu-central-1"
        whole = "" if start == "_reach" else "*"
        return f"{bucket}/{start}{whole}", bucket, f"arn:aws:kms:key/{KEYS[zone]}"
    if place == "topic":
        return "AlertsTopic.Ref", "", "arn:aws:kms:key/OperationsKey"
    if place == "task":
        return f"arn:aws:ecs:eu-central-1:123456789012:task/acequia-{environment}/*", "", ""
    queue = f"arn:aws:sqs:eu-central-1:123456789012:acequia-{environment}-{place}"
    return queue, "", "arn:aws:kms:key/MessagesKey"
