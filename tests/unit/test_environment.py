"""The bootstrap of the Python environment: a first run on a busy machine must not look as if it hung."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from tests.slow import slow

ROOT = Path(__file__).parents[2]
WAITS = "import pathlib, sys, time\nwhile not pathlib.Path(sys.argv[1]).exists(): time.sleep(0.01)\nprint('done')"


@pytest.fixture
def environment() -> ModuleType:
    spec = importlib.util.spec_from_file_location("environment", ROOT / "tools" / "environment.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_packages_were_installed_without_a_line_of_progress(
    environment: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log, told = tmp_path / "log", tmp_path / "told"

    def tell() -> str:
        told.touch()  # the program ends no sooner
        return "fetching packages: 3 of 7"

    code = environment.run([sys.executable, "-c", WAITS, str(told)], log=log, told=tell, line_seconds=0.05)
    assert (code, environment.tail(log)) == (0, "done\n")
    assert "nicplug: fetching packages: 3 of 7, " in capsys.readouterr().err


def test_how_far_pip_is(environment: ModuleType, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("Collecting aiohttp==3.0\n  Using cached aiohttp.whl\nCollecting kopf==1.0\n")
    assert environment.collected(log, count=7) == "fetching packages: 2 of 7"
    log.write_text(log.read_text() + "Installing collected packages: aiohttp, kopf\n")
    assert environment.collected(log, count=7) == "writing 7 packages"


def test_a_program_that_fails_is_shown_by_its_last_lines(environment: ModuleType, tmp_path: Path) -> None:
    log = tmp_path / "log"
    program = "import sys; print('no such package', file=sys.stderr); sys.exit(3)"
    assert environment.run([sys.executable, "-c", program], log=log, told=lambda: "") == 3
    assert environment.tail(log, lines=1) == "no such package\n"


@slow
def test_the_pip_that_python_brings_along_refused_an_option(environment: ModuleType, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True, timeout=120)
    pins = tmp_path / "pins.txt"
    pins.write_text("# nothing to install\n")
    command = environment.install_command(tmp_path / "venv" / "bin" / "python", pins=pins)
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr.count("no such option")) == (0, 0), done.stderr
