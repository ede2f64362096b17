"""Fixtures of the end-to-end tests that only Holdfast passes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.harness.leaks import without_leaks
from tests.harness.proxy import ProxyUnderTest


@pytest.fixture
def lets_go(proxy: ProxyUnderTest, metrics_port: int) -> Iterator[None]:
    """The module's proxy, which serves metrics, keeps nothing of the test."""
    with without_leaks(proxy, metrics_port):
        yield
