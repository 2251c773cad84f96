"""`nicplug version`: of the command, of the aggregated API, of the cluster."""

import json

import pytest
import yaml
from tests.unit.cli.played import CommandLine, PlayedServer, refusal

from nicplug import __version__
from nicplug.model.versions import nicplug_version_in, served_version

API = "GET /apis/subresources.kubevirt.io/v1/version"


@pytest.fixture(autouse=True)
def _cluster(server: PlayedServer) -> None:
    server.answers |= {
        "GET /version": (200, {"gitVersion": "v1.37.2"}),
        API: (200, {"gitVersion": "v1.0.0+nicplug.9.9"}),
    }


def test_three_lines(nicplug: CommandLine) -> None:
    done = nicplug("version")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"Client Version: v{__version__}",
        "Server Version: v1.0.0+nicplug.9.9",
        "Kubernetes Version: v1.37.2",
    ]


@pytest.mark.parametrize(("output", "read"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_programs_got_no_document(nicplug: CommandLine, output: str, read) -> None:  # type: ignore[no-untyped-def]
    assert read(nicplug("version", "-o", output).stdout) == {
        "apiVersion": "cli.nicplug.io/v1",
        "kind": "Version",
        "clientVersion": {"gitVersion": f"v{__version__}"},
        "serverVersion": {"gitVersion": "v1.0.0+nicplug.9.9"},
        "serverProblem": None,
        "kubernetesVersion": {"gitVersion": "v1.37.2"},
    }


def test_without_the_aggregated_api(nicplug: CommandLine, server: PlayedServer) -> None:
    server.answers[API] = refusal(503, "ServiceUnavailable", "error trying to reach service")
    done = nicplug("version")
    assert done.exit_code == 0
    assert "Server Version: not served (error trying to reach service)\n" in done.stdout
    told = json.loads(nicplug("version", "-o", "json").stdout)
    assert told["serverVersion"] == {"gitVersion": None}
    assert told["serverProblem"] == "error trying to reach service"


@pytest.mark.parametrize(
    ("version", "served"), [("0.1.0", "v1.0.0+nicplug.0.1.0"), ("0.2.0+local.1", "v1.0.0+nicplug.0.2.0.local.1")]
)
def test_what_is_served_is_one_semantic_version(version: str, served: str) -> None:
    assert served_version(version) == served
    assert nicplug_version_in(served) == version.replace("+", ".")
    assert nicplug_version_in("v1.9.0") == ""
