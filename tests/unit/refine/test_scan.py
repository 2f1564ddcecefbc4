"""Depth, and what stands outside strings, of valid JSON."""

import pytest

from service.refine.scan import depth, elements, outside_strings


@pytest.mark.parametrize(
    ("record", "outside"),
    [
        ("", ""),
        ('{"a":1}', "{:1}"),
        ('{"a\\"[":1,"b\\\\":[2]}', "{:1,:[2]}"),
        ('["\\\\\\"[",3]', "[,3]"),
        ('["\\u005c",4,"\\n\\\\"]', "[,4,]"),
        ('["é😀[",5]', "[,5]"),
    ],
)
def test_strings_are_left_out_with_their_escapes(record: str, outside: str) -> None:
    assert outside_strings(record.encode()).decode() == outside


@pytest.mark.parametrize(
    ("record", "levels"),
    [
        ("1", 0), ("{}", 1), ('{"a":[]}', 2), ("[[],[[]],{}]", 3), ('{"[[[[":"{{{{"}', 1), ('["\\"[[",[]]', 2),
        ("[" * 300 + "]" * 300, 300),
    ],
)  # fmt: skip
def test_brackets_in_strings_are_no_levels(record: str, levels: int) -> None:
    assert depth(record.encode()) == levels


@pytest.mark.parametrize(
    ("array", "count"),
    [
        ("[]", 1), ("[1]", 1), ("[1,2]", 2), ('[{"a":[1,2],"b":3},[4,5],"x,y","\\",",null]', 5), ("[[[]],[]]", 2),
        ('[1,2,3,"', 4), ("[1,2,3}}}},,,,[[[", 3),
    ],
)  # fmt: skip
def test_elements_are_counted_by_the_commas_between_them(array: str, count: int) -> None:
    assert elements(array.encode()) == count
