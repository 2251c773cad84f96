"""Settings: from the environment, validated once, frozen, each with a line of documentation."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from pydantic import ValidationError

from nicplug.api_settings import ApiSettings
from nicplug.cli.main import main
from nicplug.cli.settings_help import ApiCommand, RunCommand, settings_of
from nicplug.cli.unknown_variables import unknown_variables
from nicplug.model.mode import Mode
from nicplug.settings import Settings


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"NICPLUG_{name.upper()}", raising=False)


def test_the_defaults_are_those_of_a_deployment() -> None:
    settings = Settings()
    assert settings.kubeconfig is None
    assert settings.namespace == "nicplug-system"
    assert settings.metrics_port == 8080
    assert settings.leader_election is True
    assert settings.log_format == "auto"


def test_the_environment_counts_and_the_command_line_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NICPLUG_METRICS_PORT", "9000")
    monkeypatch.setenv("NICPLUG_KUBECONFIG", "/etc/kubeconfig")
    monkeypatch.setenv("NICPLUG_LEADER_ELECTION", "false")
    settings = Settings(metrics_port=0)
    assert settings.metrics_port == 0
    assert settings.kubeconfig == Path("/etc/kubeconfig")
    assert settings.leader_election is False


def test_a_variable_of_another_program_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NICPLUG_CACHE_DIR", "/tmp")
    Settings()


@pytest.mark.parametrize(
    ("variable", "nearest"),
    [
        ("NICPLUG_LOGLEVEL", "NICPLUG_LOG_LEVEL"),
        ("NICPLUG_LAUNCHER_IMGE", "NICPLUG_LAUNCHER_IMAGE"),
        ("nicplug_worker", "NICPLUG_WORKERS"),
        ("NICPLUG_XYZ", ""),
    ],
)
def test_a_typo_in_the_environment_was_ignored_in_silence(variable: str, nearest: str) -> None:
    known = ["NICPLUG_WORKERS", "nicplug_namespace", "NICPLUG_CACHE_DIR", "NICPLUG_SIM_SEED", "PATH"]
    assert unknown_variables([*known, variable], model=Settings) == {variable: nearest}


@pytest.mark.parametrize(
    ("variable", "nearest"),
    [("NICPLUG_API_REQUEST_SECOND", "NICPLUG_API_REQUEST_SECONDS"), ("NICPLUG_API_XYZ", "")],
)
def test_a_typo_in_the_environment_of_the_api_was_ignored_in_silence(variable: str, nearest: str) -> None:
    known = ["NICPLUG_API_NAMESPACE", "nicplug_api_port", "NICPLUG_WORKERS", "NICPLUG_SANDBOX_KUBERNETES", "PATH"]
    assert unknown_variables([*known, variable], model=ApiSettings) == {variable: nearest}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("metrics_port", -1),
        ("metrics_port", 65536),
        ("workers", 0),
        ("namespace", ""),
        ("namespace", "x" * 64),
        ("namespace", "Bad NS"),
        ("kubevirt_namespace", "kube.virt"),
        ("launcher_image", ""),
        ("launcher_image", "a b"),
        ("metrics_address", ""),
        ("report_delay_seconds", -0.1),
        ("report_delay_seconds", 6),
        ("sweep_interval_seconds", 0),
        ("log_level", "loud"),
        ("log_format", "xml"),
        ("mode", "both"),
        ("allow_kubevirt_version", "v1.10.0"),
        ("allow_kubevirt_version", "1"),
    ],
)
def test_a_bad_value_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        Settings(**{name: value})
    assert [error["loc"] for error in caught.value.errors()] == [(name,)]


@pytest.mark.parametrize(
    ("command", "variable", "value", "told"),
    [
        ("run", "NICPLUG_KUBEVIRT_NAMESPACE", "Bad NS", "'Bad NS' must consist of lowercase letters, digits and '-'"),
        ("run", "NICPLUG_LAUNCHER_IMAGE", "", "'' must not be empty"),
        ("api", "NICPLUG_API_SERVICE", "a.b", "'a.b' must consist of lowercase letters, digits and '-'"),
        ("api", "NICPLUG_API_CERTIFICATE_SECRET", "A", "'A' must consist of lowercase letters, digits, '-' and '.'"),
    ],
)
def test_a_name_that_no_object_can_have_was_taken(command: str, variable: str, value: str, told: str) -> None:
    done = CliRunner().invoke(main, [command], env={variable: value})
    assert done.exit_code == 2
    assert f"{variable}: {told}" in " ".join(done.output.split())


@pytest.mark.parametrize(
    ("mode", "wanted"), [("auto", None), ("standalone", Mode.STANDALONE), ("companion", Mode.COMPANION)]
)
def test_the_mode_is_detected_unless_it_is_set(mode: str, wanted: Mode | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NICPLUG_MODE", mode)
    assert Settings().wanted_mode is wanted


def test_nothing_can_be_changed_afterwards() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().workers = 1  # type: ignore[misc]


def test_planners_get_their_share() -> None:
    plan = Settings(report_delay_seconds=0.5, launcher_image="launcher:1").plan_settings()
    assert plan.report_delay == timedelta(milliseconds=500)
    assert plan.launcher_image == "launcher:1"


@pytest.mark.parametrize(("module", "name"), [RunCommand.settings, ApiCommand.settings])
def test_every_setting_has_a_line_of_documentation(module: str, name: str) -> None:
    found = settings_of(module, name)
    assert len(found) > 10
    assert [item.variable for item in found if not item.meaning.endswith(".")] == []
