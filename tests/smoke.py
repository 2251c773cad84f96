"""What `make smoke` runs: soak, chaos drill, bench and demo in small, each on a control plane of its own."""

import os

import pytest

smoke = pytest.mark.skipif(not os.environ.get("NICPLUG_TEST_SMOKE"), reason="takes minutes: make smoke")
