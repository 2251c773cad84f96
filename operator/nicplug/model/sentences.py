"""A message says what is and why, a remedy what a person can do: two fields of a record, one text elsewhere."""

_LONGEST = 80


def with_remedy(message: str, remedy: str) -> str:
    """One text, for what has no field for the remedy: an event, a condition, an answer of the API."""
    return ". ".join(part for part in (message, remedy) if part)


def shortened(name: str, *, longest: int = _LONGEST) -> str:
    """A name for a sentence: of one that is longer its beginning, with a mark that there was more."""
    return name if len(name) <= longest else f"{name[:longest]}..."
