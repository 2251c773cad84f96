"""A cluster of this suite's own for each module, and the chart as users get it: `make install-test`."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.chart import package
from tests.install.cluster import Cluster

from nicplug_sandbox import controlplane
from nicplug_sandbox.build import binary
from nicplug_sandbox.go_programs import HELM

# Helm waits for the API server, which is busy with the kinds that it has just been given.
TIMEOUT_SECONDS = 300


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.timeout(TIMEOUT_SECONDS))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A fresh one: etcd, API server, scheduler, controllers; nothing of nicplug, no nodes."""
    if not os.environ.get("NICPLUG_TEST_INSTALL"):
        pytest.skip("installations by Helm are tested by `make install-test` alone: they take minutes")
    directory = tmp_path_factory.mktemp("cluster")
    with contextlib.ExitStack() as stack:
        stack.callback(controlplane.stop, directory=directory)
        plane = controlplane.start(directory=directory, progress=print)
        chart = package(tmp_path_factory.mktemp("chart"))
        yield Cluster(plane=plane, chart=chart, helm=binary(HELM, progress=print))
