"""A replica's machine: its clock, its disk and its account can be tampered with, and nothing else of it is touched."""

import base64
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.chaos import replica
from tests.chaos.tokens import ISSUER, sign_token

from nicplug_sandbox import certificates

LAUNCHER = Path(replica.__file__)
# Says at each line it reads which time it is, by all clocks; and writes to stderr, whatever becomes of that.
PROGRAM = """
import json, sys, time
from datetime import UTC, datetime
from nicplug.kube.credentials import find_credentials
print(json.dumps(find_credentials(None)[0]), flush=True)
for _ in sys.stdin:
    try:
        print("a line", file=sys.stderr, flush=True)
        error = ""
    except OSError as found:
        error = found.strerror
    now = datetime.now(UTC)
    print(json.dumps([time.time(), now.timestamp(), time.monotonic(), type(now) is datetime, error]), flush=True)
"""


@pytest.fixture
def account(tmp_path: Path) -> Path:
    (tmp_path / "token").write_text("secret")
    (tmp_path / "ca.crt").write_text("a certificate")
    (tmp_path / "told.py").write_text(PROGRAM)
    return tmp_path


@pytest.fixture
def program(account: Path) -> Iterator[subprocess.Popen[str]]:
    path = os.pathsep.join([str(account), *filter(None, sys.path)])
    environment = {**os.environ, "PYTHONPATH": path, "KUBERNETES_SERVICE_HOST": "127.0.0.1"}
    with subprocess.Popen(
        [sys.executable, "-P", str(LAUNCHER), str(account), "told"],
        env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        yield process
        process.kill()


def ask(program: subprocess.Popen[str]) -> tuple[float, float, float, bool, str]:
    assert program.stdin is not None
    program.stdin.write("now\n")
    program.stdin.flush()
    told: tuple[float, float, float, bool, str] = answer(program)
    return told


def answer(program: subprocess.Popen[str]) -> Any:
    assert program.stdout is not None
    return json.loads(program.stdout.readline())


def tamper(program: subprocess.Popen[str], account: Path, **told: object) -> None:
    (account / replica.MACHINE).write_text(json.dumps({"clock_seconds": 0, "disk_is_full": False, **told}))
    program.send_signal(signal.SIGUSR2)
    time.sleep(0.2)


def test_clock_disk_and_account_of_a_process(program: subprocess.Popen[str], account: Path) -> None:
    assert answer(program) == "service account"
    wall, now, monotonic, is_datetime, error = ask(program)
    assert (abs(wall - time.time()) < 60, abs(now - wall) < 60, is_datetime, error) == (True, True, True, "")
    tamper(program, account, clock_seconds=-7200)
    later_wall, later_now, later_monotonic, is_datetime, _ = ask(program)
    assert later_wall - wall == pytest.approx(-7200, abs=60)
    assert later_now - now == pytest.approx(-7200, abs=60)
    assert 0 < later_monotonic - monotonic < 60
    assert is_datetime
    if os.path.exists(replica.FULL):
        tamper(program, account, disk_is_full=True)
        assert ask(program)[-1] == "No space left on device"
    tamper(program, account)
    last_wall, *_, error = ask(program)
    assert last_wall - wall < 60
    assert error == ""


def test_a_token_is_signed_by_the_key_of_the_control_plane_and_names_its_account(tmp_path: Path) -> None:
    certificates.create(tmp_path)
    token = sign_token(key=tmp_path / "service-account.key", namespace="ns", name="operator", uid="u", seconds=-60)
    head, claims, _ = (_decode(part) for part in token.split("."))
    assert head["alg"] == "ES256"
    assert (claims["sub"], claims["iss"]) == ("system:serviceaccount:ns:operator", ISSUER)
    assert claims["exp"] < time.time()


def _decode(part: str) -> dict[str, Any]:
    content = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    try:
        found: dict[str, Any] = json.loads(content)
    except ValueError:  # the signature
        return {}
    return found
