"""What is answered when the API server or another check fails."""

import pytest

from nicplug.plan.subresources.answers import Endpoint, patch_failed, read_failed


def _unable(why: str) -> tuple[int, str, str]:
    return 500, "InternalError", f"Internal error occurred: unable {why}"


class TestFailures:
    """What is answered when the API server fails behind us."""

    @pytest.mark.parametrize("endpoint", list(Endpoint))
    def test_reading(self, endpoint: Endpoint) -> None:
        answer = read_failed(endpoint, "a", "boom")
        kind = "vm" if endpoint is Endpoint.VM else "vmi"
        assert (answer.code, answer.reason) == (500, "InternalError")
        assert answer.message == f"Internal error occurred: unable to retrieve {kind} [a]: boom"

    @pytest.mark.parametrize(
        ("endpoint", "subresource", "code", "wanted"),
        [
            (Endpoint.VM, "status", 422, (422, "Reason", "no")),
            (Endpoint.VM, "status", 403, _unable("to patch vm status: no")),
            (Endpoint.VM, "status", 0, _unable("to patch vm status: no")),
            (Endpoint.VM, None, 422, (422, "Reason", "no")),
            (Endpoint.VM, None, 403, _unable("to patch vm: no")),
            (Endpoint.VM, None, 0, _unable("to patch vm: no")),
            (Endpoint.VMI, None, 422, (422, "Reason", "no")),
            (Endpoint.VMI, None, 403, (403, "Reason", "no")),
            (Endpoint.VMI, None, 0, _unable("to patch vmi: no")),
        ],
    )
    def test_writing(
        self, endpoint: Endpoint, subresource: str | None, code: int, wanted: tuple[int, str, str]
    ) -> None:
        """What is passed on keeps its reason, by which clients tell errors apart."""
        answer = patch_failed(endpoint, subresource=subresource, code=code, reason="Reason", message="no")
        assert (answer.code, answer.reason, answer.message) == wanted
