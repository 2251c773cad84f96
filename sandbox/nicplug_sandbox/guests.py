"""What the guests of a running sandbox really have, asked of its node simulator."""

import json
import socket
from pathlib import Path
from typing import Any

SOCKET = "guests"
"""In the sandbox's directory."""
ANSWER_SECONDS = 10.0


def read_guests(directory: Path) -> dict[str, dict[str, Any]]:
    """Each guest by `namespace/name` of its VMI: `node`, `pod`, and `nics` (`name`, `mac`, `podInterface`, `link`).

    Args:
        directory: the sandbox's.

    Raises:
        OSError: no simulator listens there.
    """
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(ANSWER_SECONDS)
        client.connect(str(directory / SOCKET))
        with client.makefile("rb") as answer:
            found: dict[str, dict[str, Any]] = json.load(answer)
    return found
