"""Quantities as Kubernetes reads them; nothing that a user writes raises."""

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nicplug.model.quantity import format_bytes, format_millicores, parse_bytes, parse_quantity

AMOUNTS: list[tuple[Any, Fraction | int]] = [
    ("1Gi", 1 << 30),
    ("64Mi", 64 << 20),
    ("1.5Ki", 1536),
    ("1G", 10**9),
    ("500m", Fraction(1, 2)),
    ("100n", Fraction(1, 10**7)),
    ("2e3", 2000),
    ("5E-1", Fraction(1, 2)),
    ("+7", 7),
    (".5", Fraction(1, 2)),
    ("3.", 3),
    (3, 3),
    (0.5, Fraction(1, 2)),
    ("1E", 10**18),
    ("1Ei", 1 << 60),
]
NOT_QUANTITIES: list[Any] = [
    "", "x", "1 Gi", "Gi", "1gi", "1Zi", "1e", "1e999999999", "-1", "1Gi1", "1_000", "nan", "inf", "९", "9" * 99,
    None, True, [], {}, float("nan"), float("inf"), -3,
]  # fmt: skip


@pytest.mark.parametrize(("value", "amount"), AMOUNTS, ids=repr)
def test_amount(value: Any, amount: Fraction | int) -> None:
    assert parse_quantity(value) == amount


@pytest.mark.parametrize("value", NOT_QUANTITIES, ids=repr)
def test_not_a_quantity(value: Any) -> None:
    assert parse_quantity(value) is None


@given(st.one_of(st.text(), st.integers(), st.floats(), st.from_regex(r"[0-9.]+[eEkKmMGTPi]{0,3}[0-9]*")))
def test_never_raises(value: Any) -> None:
    amount = parse_bytes(value)
    assert amount is None or amount >= 0


@given(st.integers(min_value=0, max_value=1 << 70))
def test_what_is_written_is_read_again(amount: int) -> None:
    assert parse_bytes(format_bytes(amount)) == amount


@pytest.mark.parametrize(("amount", "text"), [(100, "100m"), (1000, "1"), (1500, "1500m"), (2000, "2")])
def test_millicores(amount: int, text: str) -> None:
    assert format_millicores(amount) == text
