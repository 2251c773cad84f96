"""What the soaks in small share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from nicplug_sandbox import controlplane


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The directory of a sandbox of the soak's own."""
    directory = tmp_path_factory.mktemp("soak")
    yield directory
    controlplane.stop(directory=directory)
