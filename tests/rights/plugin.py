"""A pytest plugin that fails a run for a refused call of nicplug's accounts, and for a right that no test has used.

Every pytest process reads the audit logs below its own temporary directory when its last test has ended; the one that
sums up fails the run. Rights that nothing used are only held against a run of the whole suite.
"""

import dataclasses
import functools
import json
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from tests.rights.calls import read_calls
from tests.rights.findings import Window, unexpected, used
from tests.rights.roles import Right

REFUSED_MARKER = "refused_calls"
USES_MARKER = "uses_right"
_OUTPUT = "nicplug_rights"
_LOG = "audit.log"
_DIRECTORY = pytest.StashKey[Path]()


@pytest.fixture(scope="session", autouse=True)
def audit_logs(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Have them looked for below this process' temporary directory; for the conftest that registers the plugin."""
    pytestconfig.stash[_DIRECTORY] = tmp_path_factory.getbasetemp()


class Rights:
    """The plugin.

    Args:
        suite: the folder whose tests, all together, must use every right.
        rights: reads what is granted; called once, when the tests have ended.
    """

    def __init__(self, *, suite: Path, rights: Callable[[], frozenset[Right]]) -> None:
        self._suite = suite
        self._read_rights = functools.cache(rights)
        self._windows: list[Window] = []
        self._proved: set[tuple[str, str]] = set()
        self._used: set[Right] = set()
        self._refused: list[str] = []
        self._missing: set[Path] = set()
        self._is_cut = False

    def pytest_configure(self, config: pytest.Config) -> None:
        """Make the marker known, and note what leaves out single tests of a file."""
        refused = f"{REFUSED_MARKER}(reason): calls of nicplug's accounts are refused here on purpose"
        uses = f"{USES_MARKER}(verb, resource): proves a right that is needed without a request of its own"
        for line in (refused, uses):
            config.addinivalue_line("markers", line)
        self._is_cut = any("::" in argument for argument in config.args)

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        """Note tests that -k, -m or --deselect leave out."""
        if any(self._suite in item.path.parents for item in items):
            self._is_cut = True

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Note files of the suite that are not part of this run; of none when nothing is to run."""
        self._missing = set(self._suite.glob("test_*.py")) - {item.path for item in session.items}
        self._is_cut |= session.config.option.collectonly

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Note when the test runs, and why calls are refused meanwhile, if it says so."""
        marker = item.get_closest_marker(REFUSED_MARKER)
        start = time.time()
        try:
            return (yield)
        finally:
            reason = str(marker.kwargs["reason"]) if marker else ""
            self._windows.append(Window(test=item.nodeid, start=start, end=time.time(), reason=reason))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """Note a right that the test has proved."""
        result = yield
        self._proved.update(marker.args for marker in item.iter_markers(USES_MARKER))
        return result

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """Take over what a worker has found."""
        output = getattr(node, "workeroutput", {}).get(_OUTPUT)
        if output is None:
            self._is_cut = True  # it crashed
            return
        found = json.loads(output)
        self._used.update(Right(**row) for row in found["used"])
        self._refused += found["refused"]
        self._is_cut |= found["is_cut"]

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Sum up: in a worker for the controller, elsewhere for the exit code."""
        if session.shouldstop or session.shouldfail:
            self._is_cut = True
        if not _is_controller(session.config):
            self._read_logs(session.config.stash.get(_DIRECTORY, None))
        if (output := getattr(session.config, "workeroutput", None)) is not None:
            output[_OUTPUT] = json.dumps(
                {
                    "used": [dataclasses.asdict(right) for right in self._used],
                    "refused": self._refused,
                    "is_cut": self._is_cut,
                }
            )
        elif session.exitstatus == pytest.ExitCode.OK and (self._refused or self._unused()):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say what is wrong."""
        unused = self._unused()
        if not self._refused and not unused:
            return
        terminalreporter.section("rights of nicplug's ServiceAccounts", red=True)
        for line in sorted(self._refused):
            terminalreporter.line(f"REFUSED {line}")
        if self._refused:
            terminalreporter.line("Grant the right, or leave the call out. Where a test provokes it, mark that:")
            terminalreporter.line(f"@pytest.mark.{REFUSED_MARKER}(reason=...)")
        for right in unused:
            terminalreporter.line(f"UNUSED {right}")
        if unused:
            terminalreporter.line("Take the right out of deploy/, or write the test that needs it")

    def _unused(self) -> list[Right]:
        return [] if self._is_cut else sorted(self._read_rights() - self._used)

    def _read_logs(self, directory: Path | None) -> None:
        self._is_cut |= bool(self._missing)
        if directory is None:
            return
        # Resolved: pytest keeps a link to the newest directory of each name.
        found = {path.resolve() for path in directory.rglob(_LOG)}
        # Beside its server's own log: tests write others.
        logs = sorted(path for path in found if (path.parent / "logs" / "kube-apiserver.log").exists())
        rights = self._read_rights() if logs or self._proved else frozenset()
        self._used |= {right for right in rights if (right.verb, right.resource) in self._proved}
        accounts = {right.account for right in rights}
        for log in logs:
            calls = list(read_calls(log, accounts=accounts))
            self._used |= used(rights, calls)
            self._refused += unexpected(calls, self._windows, rights=rights)


def _is_controller(config: pytest.Config) -> bool:
    """Whether other processes run the tests for this one."""
    return not hasattr(config, "workerinput") and config.pluginmanager.has_plugin("dsession")
