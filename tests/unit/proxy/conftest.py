"""Tests of the proxy that are coroutines run as those of the network layer do."""

from __future__ import annotations

from tests.unit.net.conftest import pytest_pyfunc_call

__all__ = ["pytest_pyfunc_call"]
