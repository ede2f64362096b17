"""Tests of the proxy that are coroutines run as those of the network layer do."""

from __future__ import annotations

import pytest
from tests.unit.net.conftest import pytest_pyfunc_call

__all__ = ["has_parking", "pytest_pyfunc_call"]


@pytest.fixture(params=[True, False], ids=["parked", "kept"])
def has_parking(request: pytest.FixtureRequest) -> bool:
    """Whether clients can be parked: not if they came by TLS, nor where there is no epoll."""
    return bool(request.param)
