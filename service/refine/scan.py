"""What can be told of valid JSON without making objects of it, in time that grows with its bytes alone."""

import pyarrow as pa
import pyarrow.compute as pc

_OPENING, _CLOSING, _COMMA = b"[{", b"]}", b","
_NO_MARK = bytes(set(range(256)) - set(_OPENING + _CLOSING + _COMMA))
_STEP = bytes(1 if byte in _OPENING else 255 if byte in _CLOSING else 0 for byte in range(256))
"""A bracket as a signed byte: one level up or down."""


def outside_strings(record: bytes) -> bytes:
    """Valid JSON without its strings, so that numbers and brackets in them do not count.

    Escaped backslashes go first: what then stands before a quote escapes it.
    """
    return b"".join(record.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2])


def depth(record: bytes) -> int:
    """How many levels valid JSON nests: 1 for `{}`, 0 for a scalar."""
    return int(pc.max(_levels(_marks(record))).as_py() or 0)


def elements(array: bytes) -> int:
    """How many elements a JSON array has (an empty one: 1), and at least those that stand before anything invalid."""
    marks = _marks(array)
    commas = pc.equal(pa.Array.from_buffers(pa.uint8(), len(marks), [None, pa.py_buffer(marks)]), ord(_COMMA))
    return 1 + int(pc.sum(pc.and_(commas, pc.equal(_levels(marks), 1))).as_py() or 0)


def _marks(text: bytes) -> bytes:
    return outside_strings(text).translate(None, _NO_MARK)


def _levels(marks: bytes) -> pa.Array:
    """The level after each mark."""
    steps = pa.Array.from_buffers(pa.int8(), len(marks), [None, pa.py_buffer(marks.translate(_STEP))])
    return pc.cumulative_sum(steps.cast(pa.int32()))
