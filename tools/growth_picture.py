"""Draw docs/images/growth.svg from the committed figures of a bench: `make docs`."""

import json

from tests.perf import growth
from tests.perf.bench import BASELINE
from tests.perf.dashboard import PICTURE


def main() -> None:
    """Write it."""
    points = [growth.Point(**point) for point in json.loads(BASELINE.read_text())["growth"]]
    growth.save_picture(points, path=PICTURE.with_name("growth.svg"))


if __name__ == "__main__":
    main()
