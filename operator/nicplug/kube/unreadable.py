"""Explains why a file written by a user cannot be read, without class names of Python and PyYAML."""

import yaml


def why_unreadable(error: OSError | UnicodeDecodeError | yaml.YAMLError) -> str:
    """Return why, for use in a sentence: `no such file or directory`, `line 2, column 1: ...`."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8 text"
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return (
            "it has a character that YAML does not allow" if isinstance(error, yaml.reader.ReaderError) else str(error)
        )
    mark = error.problem_mark
    return f"line {mark.line + 1}, column {mark.column + 1}: {error.problem or error.context}"
