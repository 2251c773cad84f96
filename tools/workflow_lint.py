"""`make workflow-lint`: check every workflow of `.github` with actionlint, which is built first when it is missing."""

import subprocess
import sys
from pathlib import Path

from nicplug_sandbox.build import binary
from nicplug_sandbox.errors import SandboxError
from nicplug_sandbox.go_programs import ACTIONLINT

WORKFLOWS = Path(__file__).resolve().parents[1] / ".github" / "workflows"
_SECONDS = 60


def main() -> int:
    """Exit code of actionlint; 1 where there is no workflow, or it cannot be built."""
    files = sorted(WORKFLOWS.glob("*.yaml"))
    if not files:
        print(f"there is no workflow in {WORKFLOWS}", file=sys.stderr)
        return 1
    try:
        program = binary(ACTIONLINT, progress=lambda line: print(f"nicplug: {line}", file=sys.stderr))
    except SandboxError as error:
        print(f"nicplug: {error}", file=sys.stderr)
        return 1
    done = subprocess.run([program, "-no-color", *files], timeout=_SECONDS, check=False)
    if done.returncode == 0:
        print(f"actionlint: {len(files)} workflow(s) without a finding")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
