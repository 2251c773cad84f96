"""Errors of the command line in the words of those who typed it."""

from pydantic import ValidationError


def setting_problems(error: ValidationError) -> str:
    """Which settings are wrong, and how."""
    return "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
