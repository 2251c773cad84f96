"""A message says what is and why, a remedy what a person can do: two fields of a record, one text elsewhere."""


def with_remedy(message: str, remedy: str) -> str:
    """One text, for what has no field for the remedy: an event, a condition, an answer of the API."""
    return ". ".join(part for part in (message, remedy) if part)
