"""Which worker runs which test file: some begin with those that need a control plane, others with the rest."""

import pytest
from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController


def from_the_end(workers: int) -> int:
    """How many workers begin with the last files: two of five.

    Tests of the files at the end compute, or wait for moments. Beside them a machine of two cores has always something
    to do, and fewer sandboxes are idle.
    """
    return workers * 2 // 5


class FromBothEnds(LoadFileScheduling):  # type: ignore[misc]  # xdist ships no annotations
    """Files are handed out from both ends of the queue, whole, as with `--dist loadfile`."""

    def _assign_work_unit(self, node: WorkerController) -> None:
        nodes = self.nodes
        if nodes.index(node) >= len(nodes) - from_the_end(len(nodes)):
            self.workqueue.move_to_end(next(reversed(self.workqueue)), last=False)
        super()._assign_work_unit(node)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> FromBothEnds | None:
    """Take the place of `--dist loadfile`."""
    return FromBothEnds(config, log) if config.getvalue("dist") == "loadfile" else None
