"""Write the PrometheusRule of `deploy/monitoring` from the plain rules file beside it: `make docs`.

One source for those who have the Prometheus Operator and those who have not. The text is taken over as it is, comments
included.
"""

import sys
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "deploy" / "monitoring"
RULES, RESOURCE = FOLDER / "rules.yaml", FOLDER / "prometheusrule.yaml"

HEAD = """\
# Generated from rules.yaml by `make docs`: change the alerts there.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: nicplug
  namespace: nicplug-system
  labels:
    app.kubernetes.io/name: nicplug
spec:
"""


def prometheus_rule(rules: str) -> str:
    """The object.

    Args:
        rules: a rules file, which begins with comments.
    """
    groups = rules[rules.index("groups:") :]
    return HEAD + "".join(f"  {line}" if line.strip() else line for line in groups.splitlines(keepends=True))


def main() -> int:
    """Write it; `--check` only compares."""
    wanted = prometheus_rule(RULES.read_text())
    if "--check" in sys.argv[1:]:
        same = RESOURCE.exists() and RESOURCE.read_text() == wanted
        print(f"{RESOURCE.name} is {'as rules.yaml has it' if same else 'out of date: run `make docs`'}")
        return 0 if same else 1
    RESOURCE.write_text(wanted)
    print(f"wrote deploy/monitoring/{RESOURCE.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
