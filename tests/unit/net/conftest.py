"""Tests of the network layer are coroutines: each runs on a uvloop of its own, as the server does."""

from __future__ import annotations

import asyncio
import inspect

import pytest
import uvloop
from tests.harness.timing import scaled
from tests.unit.net.backends import BackendStage

TEST_TIMEOUT_S = 10.0


@pytest.fixture(params=["parked", "loop"])
def transports(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What connections to backends are made of."""
    monkeypatch.setattr(BackendStage, "has_parking", request.param == "parked")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is a coroutine function."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(pyfuncitem.obj(**arguments), scaled(TEST_TIMEOUT_S)))
    return True
