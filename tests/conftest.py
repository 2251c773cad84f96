"""Fixtures of all tests that want a real control plane: started once per pytest worker, for those who ask.

Nothing here runs at collection, so tests are collected on a machine without any cluster.
"""

import contextlib
import gc
import os
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from tests import early_end
from tests.early_end import Wants
from tests.rights.plugin import Rights
from tests.rights.plugin import audit_logs as audit_logs
from tests.rights.roles import Right, granted, manifests
from tests.slow import IS_ASKED_FOR
from tests.work_order import pytest_xdist_make_scheduler as pytest_xdist_make_scheduler

from nicplug_sandbox import build, controlplane
from nicplug_sandbox.api_process import SERVICE_ACCOUNT as API_ACCOUNT
from nicplug_sandbox.controlplane import ControlPlane
from nicplug_sandbox.operator_process import BASE, NAMESPACE
from nicplug_sandbox.operator_process import SERVICE_ACCOUNT as OPERATOR_ACCOUNT

# Go collects garbage a tenth as often in the control planes of the tests while they stay under a gigabyte: that saves
# CPU (docs/performance.md has what it brings the bench).
os.environ.setdefault("GOGC", "1000")
os.environ.setdefault("GOMEMLIMIT", "1GiB")

# No example is timed: machines are busy.
settings.register_profile("nicplug", max_examples=1000 if IS_ASKED_FOR else 100, deadline=None)
settings.load_profile("nicplug")

_WANTS = pytest.StashKey[Wants]()


def pytest_configure(config: pytest.Config) -> None:
    """Have every call of nicplug's ServiceAccounts looked at, TLS contexts be cheap, and no test collected as garbage.

    Thousands of tests and all modules stay: looked through again and again, they cost each process seconds.
    """
    gc.disable()
    _spare_authorities_of_the_system(config)
    config.pluginmanager.register(Rights(suite=Path(__file__).parent / "integration", rights=_granted))


def _spare_authorities_of_the_system(config: pytest.Config) -> None:
    """Let TLS contexts read no CAs by default, but those that a test itself has named by SSL_CERT_FILE.

    Each of thousands of clients would read all that the system trusts, for plain HTTP as well: 40 ms of CPU.
    """
    read, of_the_system = ssl.SSLContext.load_default_certs, os.environ.get("SSL_CERT_FILE")

    def read_named(context: ssl.SSLContext, purpose: ssl.Purpose = ssl.Purpose.SERVER_AUTH) -> None:
        if os.environ.get("SSL_CERT_FILE") != of_the_system:
            read(context, purpose)

    patch = pytest.MonkeyPatch()
    patch.setattr(ssl.SSLContext, "load_default_certs", read_named)
    config.add_cleanup(patch.undo)


def _granted() -> frozenset[Right]:
    """What kustomize grants to operator and API, and the chart as well (tests/unit/test_chart.py)."""
    accounts = [f"system:serviceaccount:{NAMESPACE}:{name}" for name in (OPERATOR_ACCOUNT, API_ACCOUNT)]
    return granted(manifests(BASE, BASE.parent / "components"), accounts=accounts)


def pytest_collection_modifyitems(session: pytest.Session, items: list[pytest.Item]) -> None:
    """Order the files for several workers: by what they want, and those that want nothing in turns of their suites.

    Of these, some wait most of their time and some compute: side by side they take less than one after the other.
    """
    if not hasattr(session.config, "workerinput"):
        return
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    suites: dict[str, list[Path]] = {}
    for path, tests in files.items():
        suites.setdefault(_suite(path), []).append(path)
        fixtures = [getattr(item, "fixturenames", ()) for item in tests]
        for item in tests:
            item.stash[_WANTS] = early_end.wants(suite=_suite(path), fixtures=fixtures)
    places = {path: place / len(paths) for paths in suites.values() for place, path in enumerate(paths)}
    items.sort(key=lambda item: (item.stash[_WANTS], places[item.path] if item.stash[_WANTS] is Wants.NOTHING else 0.0))


def _suite(path: Path) -> str:
    return path.relative_to(Path(__file__).parent).parts[0]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A worker is handed the files in order: what only the earlier ones want is ended."""
    if hasattr(item.config, "workerinput"):
        early_end.end_before(item.stash[_WANTS])


def pytest_collection_finish(session: pytest.Session) -> None:
    """Have the programs ready before the first test: a first build takes minutes, a test may take two."""
    gc.freeze()
    gc.enable()
    needs = {"control_plane", "sandbox"}
    wanted = any(needs.intersection(getattr(item, "fixturenames", ())) for item in session.items)
    if wanted and not session.config.option.collectonly:
        build.resolve(progress=lambda message: print(f"nicplug: {message}", file=sys.__stderr__, flush=True))


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane of this worker's own: no CRDs, no nodes, no objects but the system's."""
    directory = tmp_path_factory.mktemp("control-plane")
    with contextlib.ExitStack() as stack:
        stack.callback(controlplane.stop, directory=directory)
        # As on OpenShift: who makes an object with an owner needs a right on that.
        plugins = ["OwnerReferencesPermissionEnforcement"]
        found = controlplane.start(directory=directory, progress=print, admission_plugins=plugins)
        early_end.note(stack, last=Wants.CONFORMANCE)
        yield found
