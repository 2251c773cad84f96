"""Which worker is handed which test file."""

from types import SimpleNamespace
from typing import Any

import pytest
from tests.work_order import FromBothEnds, from_the_end


class _Worker:
    """Keeps the numbers of the tests that it is sent."""

    def __init__(self, number: int) -> None:
        self.gateway = SimpleNamespace(id=f"gw{number}")
        self.shutting_down = False
        self.sent: list[int] = []

    def send_runtest_some(self, indices: list[int]) -> None:
        self.sent += indices

    def shutdown(self) -> None:
        self.shutting_down = True


def _hand_out(*, workers: int, files: int) -> list[list[int]]:
    """Each worker's files, by number, when all are handed out and each has ended those that it had before."""
    config: Any = SimpleNamespace(
        option=SimpleNamespace(loadscopereorder=False), getvalue=lambda _: ["popen"] * workers
    )
    scheduler = FromBothEnds(config, None)
    nodes: Any = [_Worker(number) for number in range(workers)]
    tests = [f"test_{number}.py::test" for number in range(files)]
    for node in nodes:
        scheduler.add_node(node)
        scheduler.add_node_collection(node, tests)
    scheduler.schedule()
    done = dict.fromkeys(range(workers), 0)
    while scheduler.has_pending:
        for number, node in enumerate(nodes):
            for test in node.sent[done[number] :]:
                scheduler.mark_test_complete(node, test)
                done[number] += 1
    return [node.sent for node in nodes]


def test_the_last_workers_begin_at_the_end() -> None:
    sent = _hand_out(workers=5, files=40)
    firsts = [files[0] for files in sent]
    assert firsts[:3] == [0, 1, 2]
    assert firsts[3:] == [39, 38]
    assert all(files == sorted(files) for files in sent[:3])
    assert all(files == sorted(files, reverse=True) for files in sent[3:])


@pytest.mark.parametrize("workers", [1, 2, 4, 5, 8])
def test_each_file_is_run_once(workers: int) -> None:
    sent = _hand_out(workers=workers, files=30)
    assert sorted(number for files in sent for number in files) == list(range(30))


def test_one_or_two_workers_go_in_order() -> None:
    assert [from_the_end(workers) for workers in (1, 2, 3, 4, 5, 8)] == [0, 0, 1, 1, 2, 3]
