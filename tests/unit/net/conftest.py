"""Tests of the network layer are coroutines: each runs on a uvloop of its own, as the server does."""

from __future__ import annotations

import asyncio
import inspect
from pathlib import Path

import pytest
import uvloop
from tests.harness.timing import scaled
from tests.harness.tls import make_certificate
from tests.unit.net.backends import BackendStage

TEST_TIMEOUT_S = 10.0


@pytest.fixture(params=["parked", "loop"])
def transports(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What connections to backends are made of."""
    monkeypatch.setattr(BackendStage, "has_parking", request.param == "parked")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the key and the certificate of `a.test`, signed by itself."""
    made = make_certificate("a.test")
    path = tmp_path_factory.mktemp("tls") / "a.test.pem"
    path.write_bytes(made.key + made.crt)
    return path


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is a coroutine function."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(pyfuncitem.obj(**arguments), scaled(TEST_TIMEOUT_S)))
    return True
