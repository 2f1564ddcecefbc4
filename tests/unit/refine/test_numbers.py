"""Numbers that a double cannot hold."""

import re

import pytest

from service.refine.numbers import SUSPECT, changes

SURVIVE = [
    "0", "-0", "-0.0", "1.50", "1e2", "1E+2", "1e22", "5e-324", "1.7976931348623157e308", "0.1", "0.30000000000000004",
    "999999999999999", "12345678901234567890", "9" * 38, "-" + "9" * 38, "0.10000000000000000000", "1e-7",
    "123456789012345680000.0", "9007199254740993",
    "0e99999999999999999999", "0.000e-99999999999999999999", "999999999999999e200", "1e-290", "123456789012.345e-99",
]  # fmt: skip
CHANGE = [
    "0.12345678901234567890", "0.1000000000000000055", "9007199254740993.0", "12345678901234567.5", "1e400", "-1e400",
    "1e-400", "5.000000000000000000001", "9" * 39, "1.7976931348623159e308", "3e-324",
    "1e-99999999999999999999", "1e99999999999999999999", "2.4703282292062328e-324", "1.23456789012e-315", "1e1000",
    "0." + "0" * 400 + "1", "12345678901234567e5",
]  # fmt: skip


@pytest.mark.parametrize("number", SURVIVE)
def test_a_number_that_survives_passes(number: str) -> None:
    assert not changes(f'{{"a":[{number}]}}')


@pytest.mark.parametrize("number", SURVIVE)
def test_what_stands_around_a_number_is_none_of_it(number: str) -> None:
    assert not changes(f'{{"1e400":[true,{number},false,null,-1.5E+7,"1e-400"],"b":{number}}}')


@pytest.mark.parametrize("number", CHANGE)
def test_one_number_among_many_is_found(number: str) -> None:
    assert changes(f'{{"a":[true,1,1.5,{number},"x"]}}')


@pytest.mark.parametrize("number", CHANGE)
def test_a_number_that_would_change_is_found_and_suspected(number: str) -> None:
    assert changes(f'{{"a":[{number}]}}')
    assert re.search(SUSPECT, f'{{"a":[{number}]}}')


@pytest.mark.parametrize("text", ['"0.12345678901234567890"', '"\\"0.12345678901234567890"', '"1e400"'])
def test_a_number_in_a_string_is_text(text: str) -> None:
    assert not changes(f'{{"a":{text},{text}:1}}')
