"""Every failure is a sentence with a remedy on stderr and an exit code by cause, never a traceback."""

import base64
import contextlib
import json
import socket
import ssl
import threading
from pathlib import Path
from typing import Any

import pytest
import trustme
from click.testing import CliRunner
from tests.build import primary, vm
from tests.fakes.kubeconfig import write_kubeconfig
from tests.unit.cli.played import NOT_SERVED, Answer, CommandLine, PlayedServer, refusal

from nicplug.cli.exits import Exit
from nicplug.cli.main import main

VMS = "GET /apis/kubevirt.io/v1/namespaces/default/virtualmachines/V"
VMIS = "GET /apis/kubevirt.io/v1/namespaces/default/virtualmachineinstances/V"
START = "PUT /apis/subresources.kubevirt.io/v1/namespaces/default/virtualmachines/V/start"
FORBIDDEN = 'virtualmachines.kubevirt.io "V" is forbidden: User "u" cannot get resource "virtualmachines"'

CASES: list[tuple[str, str, Answer, Exit, str]] = [
    ("kinds are missing", "status", NOT_SERVED, Exit.NOT_INSTALLED, "kubectl apply -f crds/"),
    (
        "no such VM",
        "status",
        refusal(404, "NotFound", 'virtualmachines.kubevirt.io "V" not found'),
        Exit.NOT_FOUND,
        "--namespace",
    ),
    ("no right", "status", refusal(403, "Forbidden", FORBIDDEN), Exit.NOT_ALLOWED, "Ask the cluster admin"),
    ("not logged in", "status", refusal(401, "Unauthorized", "Unauthorized"), Exit.NOT_ALLOWED, "log in again"),
    (
        "server error",
        "status",
        refusal(500, "InternalError", "etcd is away"),
        Exit.UNREACHABLE,
        "etcd is away\n  Try again",
    ),
    ("throttled", "status", refusal(429, "TooManyRequests", "slow down"), Exit.FAILED, "Try again in 1 s"),
    ("API is not served", "start", NOT_SERVED, Exit.NOT_INSTALLED, "nicplug doctor"),
    (
        "API is down",
        "start",
        refusal(503, "ServiceUnavailable", "service unavailable"),
        Exit.NOT_INSTALLED,
        "apiservice",
    ),
    ("conflict", "start", refusal(409, "Conflict", "VM is already running"), Exit.REFUSED, "VM is already running"),
    ("invalid", "start", refusal(422, "Invalid", "no such name"), Exit.REFUSED, "no such name"),
    ("bad request", "start", refusal(400, "BadRequest", "bad"), Exit.REFUSED, "bad"),
]


@pytest.mark.parametrize(("name", "command", "answer", "code", "text"), CASES, ids=[case[0] for case in CASES])
def test_causes(
    nicplug: CommandLine, server: PlayedServer, name: str, command: str, answer: Answer, code: Exit, text: str
) -> None:
    server.answers |= {VMS: answer, VMIS: answer, START: answer}
    done = nicplug(command, "V")
    assert done.exit_code == code, done.output
    assert done.stdout == ""
    assert done.stderr.startswith("Error: ")
    assert text in done.stderr
    assert "Traceback" not in done.stderr


REFUSED_NETWORK = 'NIC "blue": network red/lan is not allowed: policy SameNamespace allows "default"'
NO_RIGHT = 'virtualmachines.subresources.kubevirt.io "a" is forbidden: User "u" cannot update resource'


@pytest.mark.parametrize(
    ("said", "has_remedy"), [(REFUSED_NETWORK, False), (NO_RIGHT, True)], ids=["a network", "a right"]
)
def test_a_403_of_the_api_is_told_in_its_own_words(
    nicplug: CommandLine, server: PlayedServer, said: str, has_remedy: bool
) -> None:
    """The admin is to be asked for a right only where one is missing."""
    base = "/apis/kubevirt.io/v1/namespaces/default"
    server.answers |= {
        f"GET {base}/virtualmachines/a": (200, vm(primary(), name="a")),
        f"GET {base}/virtualmachineinstances/a": refusal(404, "NotFound", '"a" not found'),
        "PUT /apis/subresources.kubevirt.io/v1/namespaces/default/virtualmachines/a/addinterface": refusal(
            403, "Forbidden", said
        ),
    }
    done = nicplug("add", "a", "--network", "red/lan", "--name", "blue", "--persist")
    assert done.exit_code == 4
    first, *rest = done.stderr.splitlines()
    assert first == f"Error: {said}"
    assert bool(rest) == has_remedy


def test_an_unreachable_cluster_names_address_and_context(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        server = f"http://127.0.0.1:{taken.getsockname()[1]}"
        done = CommandLine(write_kubeconfig(tmp_path / "config", server=server))("status", "V")
    assert done.exit_code == Exit.UNREACHABLE
    assert server in done.stderr
    assert "the cluster of context x" in done.stderr
    assert f"Error: no answer from {server}: Connection refused\n" in done.stderr


@pytest.mark.parametrize("command", ["status", "start", "plan", "why", "wait"])
def test_a_name_with_its_kind_was_a_refusal(nicplug: CommandLine, server: PlayedServer, command: str) -> None:
    done = nicplug(command, "vm/vm-fedora")
    assert done.exit_code == Exit.WRONG_USE
    assert '"vm/vm-fedora" cannot be the name of an object' in done.stderr
    assert "Give the name alone" in done.stderr
    assert server.requests == []


def test_an_unknown_ca_was_a_question_about_the_address(tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        server = f"https://127.0.0.1:{listening.getsockname()[1]}"
        thread = threading.Thread(target=_refused_handshake, args=(listening, context), daemon=True)
        thread.start()
        done = CommandLine(write_kubeconfig(tmp_path / "config", server=server))("start", "V")
        thread.join(10)
    assert done.exit_code == Exit.UNREACHABLE
    assert f"the certificate of {server} is not accepted: " in done.stderr
    assert "certificate-authority" in done.stderr
    assert "right address" not in done.stderr


def _refused_handshake(listening: socket.socket, context: ssl.SSLContext) -> None:
    connection, _ = listening.accept()
    with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True):
        pass


def test_a_kubeconfig_that_is_a_string_said_words_about_python_objects(tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    bad.write_text("hello")
    done = CommandLine(bad)("status", "V")
    assert done.exit_code == Exit.UNREACHABLE
    assert f"kubeconfig {bad} is a string, not a mapping" in done.stderr
    assert "object does not support" not in done.stderr


def test_a_wrong_context_lists_those_there_are(nicplug: CommandLine) -> None:
    done = nicplug("status", "V", "--context", "prod")
    assert done.exit_code == Exit.UNREACHABLE
    assert 'no context "prod"' in done.stderr
    assert "Contexts: x." in done.stderr


@pytest.mark.parametrize("option", ["-n", "--namespace", "--context", "--kubeconfig", "--as", "--as-group", "--as-uid"])
@pytest.mark.parametrize("is_before", [True, False], ids=["before the command", "after it"])
def test_an_empty_option_chose_another_cluster_or_user(
    nicplug: CommandLine, server: PlayedServer, option: str, is_before: bool
) -> None:
    own = [f"--kubeconfig={nicplug.kubeconfig}"] if option != "--kubeconfig" else []
    given = [*own, option, ""]
    arguments = [*given, "status"] if is_before else ["status", *given]
    for line in (arguments, [*arguments, "-n", "default"] if is_before else arguments):
        done = CliRunner().invoke(main, line)
        assert done.exit_code == 2, done.output
        assert option in done.stderr
        assert "must not be empty" in done.stderr
    assert server.requests == []


def test_an_empty_option_is_virtctls_error(nicplug: CommandLine, server: PlayedServer) -> None:
    done = nicplug("removeinterface", "V", "--name", "blue", "-n", "")
    assert done.exit_code == 1
    assert "'--namespace': must not be empty" in done.stderr
    assert server.requests == []


def test_groups_need_a_user(nicplug: CommandLine, server: PlayedServer) -> None:
    done = nicplug("status", "V", "--as-group", "g")
    assert done.exit_code == Exit.WRONG_USE
    assert server.requests == []


def test_impersonation_is_kubectls(nicplug: CommandLine, server: PlayedServer) -> None:
    nicplug("start", "V", "--as", "bob", "--as-uid", "7", "--as-group", "a", "--as-group", "b")
    (sent,) = server.asked()
    assert sent.header("Impersonate-User") == ["bob"]
    assert sent.header("Impersonate-Uid") == ["7"]
    assert sent.header("Impersonate-Group") == ["a", "b"]


def test_the_kubeconfigs_own_impersonation_counts(server: PlayedServer, tmp_path: Path) -> None:
    user = {"token": "t", "as": "eve", "as-groups": ["g"]}
    CommandLine(write_kubeconfig(tmp_path / "config", server=server.url, user=user))("start", "V")
    (sent,) = server.asked()
    assert (sent.header("Impersonate-User"), sent.header("Impersonate-Group")) == (["eve"], ["g"])
    assert sent.header("Authorization") == ["Bearer t"]


def test_a_bug_is_a_sentence_and_a_trace_for_those_who_ask(
    nicplug: CommandLine, server: PlayedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answers[START] = (200, None)
    monkeypatch.setattr("nicplug.cli.subresources.json.dumps", lambda *_, **__: 1 / 0)
    done = nicplug("start", "V")
    assert done.exit_code == Exit.FAILED
    assert "a bug in nicplug: ZeroDivisionError" in done.stderr
    assert "NICPLUG_TRACEBACK=1" in done.stderr
    monkeypatch.setenv("NICPLUG_TRACEBACK", "1")
    assert isinstance(nicplug("start", "V").exception, ZeroDivisionError)


@pytest.mark.parametrize(
    ("plugin", "text"),
    [
        ({"command": "no-such-plugin"}, "is not installed: install it where PATH has it"),
        ({"command": "false"}, "gave no credentials: exit code 1. Run it by hand"),
        ({"command": "sh", "args": ["-c", "echo no session >&2; exit 3"]}, "exit code 3, no session. Run it by hand"),
        ({"command": "echo"}, "gave no credentials: failed to decode process output"),
        ({}, "malformed request. missing key 'command'"),
    ],
    ids=["missing", "fails", "fails with a reason", "prints no JSON", "no command"],
)
def test_a_failed_credential_plugin_was_an_anonymous_user_without_rights(
    server: PlayedServer, tmp_path: Path, plugin: dict[str, Any], text: str
) -> None:
    """It answered 4, `User "system:anonymous" cannot list`, after an error of Python's on stderr."""
    entry = {"apiVersion": "client.authentication.k8s.io/v1", "installHint": "Get it from\nthe admin.", **plugin}
    path = write_kubeconfig(tmp_path / "config", server=server.url, user={"exec": entry})
    done = CommandLine(path)("status", "V")
    assert done.exit_code == Exit.UNREACHABLE, done.output
    [line] = done.stderr.splitlines()
    assert line.startswith(f'Error: credential plugin "{plugin.get("command", "")}" of user "u" in kubeconfig {path} ')
    assert text in line
    assert line.endswith(" Get it from the admin.")
    assert server.requests == []


CERTIFICATE_DATA = base64.b64encode(b"no certificate").decode()


@pytest.mark.parametrize(
    ("user", "cluster", "text"),
    [
        ({"client-certificate-data": "AAAA", "client-key-data": "AAAA"}, {}, 'certificate or key of user "u"'),
        ({}, {"certificate-authority-data": CERTIFICATE_DATA}, 'the CA of cluster "c"'),
    ],
    ids=["client certificate", "CA"],
)
def test_a_broken_certificate_in_the_kubeconfig_was_a_bug_in_nicplug(
    tmp_path: Path, user: dict[str, str], cluster: dict[str, str], text: str
) -> None:
    path = write_kubeconfig(tmp_path / "config", server="https://127.0.0.1:1", user=user)
    content = json.loads(path.read_text())
    content["clusters"][0]["cluster"] |= cluster
    path.write_text(json.dumps(content))
    done = CommandLine(path)("status", "V")
    assert done.exit_code == Exit.UNREACHABLE, done.output
    assert f"{text} in the kubeconfig cannot be used" in done.stderr
    assert "correct c" in done.stderr
    assert "bug" not in done.stderr


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"clusters:\n- a: b: c\n", "line 2, column 7: mapping values are not allowed here"),
        (b"\xff\xfe\xff", "it is not UTF-8 text"),
        (b"a: \x00", "it has a character that YAML does not allow"),
    ],
)
def test_pythons_words_for_an_unreadable_file_reached_the_user(
    nicplug: CommandLine, tmp_path: Path, content: bytes, text: str
) -> None:
    bad = tmp_path / "bad"
    bad.write_bytes(content)
    for done in (CommandLine(bad)("status", "V"), nicplug("plan", "-f", str(bad))):
        assert text in done.stderr
        assert "unicode string" not in done.stderr
        assert "codec" not in done.stderr
        assert done.exit_code in (Exit.UNREACHABLE, Exit.WRONG_USE, Exit.NOT_FOUND)
