"""Kubernetes quantities (`500m`, `1Gi`, `2e3`): parsed exactly, never raising for user input.

Source: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/.
"""

import math
import re
from fractions import Fraction
from typing import Any

# Bounded, so that no text can produce a number that fills the memory.
_PATTERN = re.compile(r"\+?([0-9]{1,24}\.?[0-9]{0,24}|\.[0-9]{1,24})(?:[eE]([+-]?[0-9]{1,2})|([numkMGTPE]|[KMGTPE]i)?)")
_DECIMAL = {"n": -3, "u": -2, "m": -1, "": 0, "k": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_WRITTEN = (("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10))

MEBIBYTE = 1 << 20


def parse_quantity(value: Any) -> Fraction | None:
    """Return the amount; None for anything that is not a valid amount to request: any other text, a negative number."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    match = _PATTERN.fullmatch(str(value))
    if match is None:
        return None
    number, exponent, suffix = match.groups()
    power = int(exponent) if exponent else 3 * _DECIMAL.get(suffix or "", 0)
    scale = Fraction(10**power) if power >= 0 else Fraction(1, 10**-power)
    return Fraction(number) * scale * (1 << 10 * _BINARY.get(suffix or "", 0))


def parse_bytes(value: Any) -> int | None:
    """Return the amount in whole bytes, rounded up; None as in `parse_quantity`."""
    amount = parse_quantity(value)
    return None if amount is None else math.ceil(amount)


def format_bytes(amount: int) -> str:
    """Return the shortest exact text."""
    return next(
        (f"{amount // size}{suffix}" for suffix, size in _WRITTEN if amount and amount % size == 0), str(amount)
    )


def format_millicores(amount: int) -> str:
    """Return whole CPUs if possible, otherwise thousandths."""
    return f"{amount}m" if amount % 1000 else str(amount // 1000)
