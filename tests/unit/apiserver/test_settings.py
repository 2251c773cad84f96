"""`nicplug api`: its settings, its command line, and which certificate it serves with."""

from pathlib import Path

import pytest
import structlog.testing
from click.testing import CliRunner
from pydantic import ValidationError
from tests.unit.apiserver.played import PlayedApi

from nicplug import api_app
from nicplug.api_settings import ApiSettings
from nicplug.apiserver.certificates import FileCertificate, SecretCertificate
from nicplug.cli.main import main


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ApiSettings.model_fields:
        monkeypatch.delenv(f"NICPLUG_API_{name.upper()}", raising=False)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[ApiSettings]:
    """Settings of the servers that would have been run."""
    settings: list[ApiSettings] = []

    async def record(given: ApiSettings) -> None:
        settings.append(given)

    monkeypatch.setattr(api_app, "run_api", record)
    monkeypatch.setattr("nicplug.obs.logging.configure_logging", lambda **_: None)
    return settings


def test_options_and_variables_become_settings(started: list[ApiSettings], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NICPLUG_API_SERVICE", "other")
    done = CliRunner().invoke(main, ["api", "--port", "0", "--namespace", "n"])
    assert done.exit_code == 0, done.output
    [settings] = started
    assert (settings.port, settings.server_name()) == (0, "other.n.svc")


def test_a_variable_that_is_no_setting_is_told(started: list[ApiSettings], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NICPLUG_API_CONECTIONS", "10")
    with structlog.testing.capture_logs() as logs:
        assert CliRunner().invoke(main, ["api"]).exit_code == 0
    assert len(started) == 1
    (line,) = [line for line in logs if line.get("variable") == "NICPLUG_API_CONECTIONS"]
    assert (line["log_level"], line["remedy"]) == ("warning", "did you mean NICPLUG_API_CONNECTIONS?")


@pytest.mark.parametrize("options", [["--port", "70000"], ["--tls-cert-file", "/tls.crt"]])
def test_a_bad_setting_is_one_line(started: list[ApiSettings], options: list[str]) -> None:
    done = CliRunner().invoke(main, ["api", *options])
    assert done.exit_code == 2
    assert f"bad settings: NICPLUG_API_{options[0][2:].upper().replace('-', '_')}" in done.output
    assert "Traceback" not in done.output
    assert not started


def test_files_are_served_with_when_they_are_set() -> None:
    settings = ApiSettings(tls_cert_file=Path("/tls.crt"), tls_private_key_file=Path("/tls.key"))
    source = api_app.certificate_source(settings, PlayedApi().api)
    assert source == FileCertificate(certificate=Path("/tls.crt"), key=Path("/tls.key"))


def test_without_files_the_certificate_is_made_for_the_name_of_the_service() -> None:
    source = api_app.certificate_source(ApiSettings(), PlayedApi().api)
    assert isinstance(source, SecretCertificate)
    assert source.names == ("nicplug-api.nicplug-system.svc",)


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        ApiSettings().port = 1  # type: ignore[misc]


def test_a_part_that_fails_ends_the_process_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(_: ApiSettings) -> None:
        raise ExceptionGroup("tasks", [ValueError("the first"), KeyError("the second")])

    monkeypatch.setattr(api_app, "run_api", fail)
    monkeypatch.setattr("nicplug.obs.logging.configure_logging", lambda **_: None)
    done = CliRunner().invoke(main, ["api"])
    assert done.exit_code == 1
    assert done.output == "nicplug api: ended by ValueError: the first, KeyError: 'the second'\n"
