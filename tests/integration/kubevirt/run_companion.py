"""`nicplug run` in companion mode, on a cluster whose KubeVirt is the stand-in.

The checks at start are left out: they look for what only a whole installation has.
"""

import sys
from functools import partial

import nicplug.app
from nicplug.entry import nicplug as run
from nicplug.model.mode import Mode


async def _skip(*_: object, **__: object) -> None:
    return


def main() -> None:
    """Run the command line in this mode."""
    nicplug.app.App = partial(nicplug.app.App, mode=Mode.COMPANION)  # type: ignore[assignment, misc]
    nicplug.app.refuse_rivals = _skip  # type: ignore[assignment]
    nicplug.app.wait_for_api = _skip
    run()


if __name__ == "__main__":
    sys.exit(main())
