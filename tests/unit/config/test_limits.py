"""How many clients there may be."""

from __future__ import annotations

import pytest

from holdfast.config.limits import client_capacity, edge_limits, file_ceiling
from holdfast.config.settings import Settings


@pytest.mark.parametrize(
    ("wanted", "max_files", "capacity"),
    [(1000, 20_000, 1000), (50_000, 20_000, 19_488), (50_000, 800, 400)],
    ids=["fits", "some descriptors are kept", "not more than half of few"],
)
def test_client_capacity(wanted: int, max_files: int, capacity: int, caplog: pytest.LogCaptureFixture) -> None:
    assert client_capacity(wanted, max_files) == capacity
    assert len(caplog.records) == (wanted != capacity)


@pytest.mark.parametrize(("max_files", "ceiling"), [(20_000, 19_936), (1024, 960), (100, 75)])
def test_what_is_left_for_publishers(max_files: int, ceiling: int) -> None:
    assert file_ceiling(max_files) == ceiling


def test_edge_limits() -> None:
    settings = Settings()
    limits = edge_limits(settings, 5, 100)
    assert (limits.max_connections, limits.max_files) == (5, 100)
    assert limits.header_timeout_s == settings.holdfast.header_timeout
