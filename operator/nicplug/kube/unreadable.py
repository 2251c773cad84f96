"""Why a file that a person wrote cannot be read, without the names that Python and PyYAML give to things."""

import yaml


def why_unreadable(error: OSError | UnicodeDecodeError | yaml.YAMLError) -> str:
    """For a sentence: `no such file or directory`, `it is not UTF-8 text`, `line 2, column 1: ...`."""
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
