"""What `make slow-test` runs beside `make test`: the tools in small, the pages that are typed, and other long tests."""

import os

import pytest

IS_ASKED_FOR = bool(os.environ.get("NICPLUG_TEST_SLOW"))
slow = pytest.mark.skipif(not IS_ASKED_FOR, reason="takes long: make slow-test")
