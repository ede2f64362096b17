"""What is marked as differing from Pushpin 1.36 must differ: with Pushpin under test a marked test has to fail.

So the list of differences in docs/compat.md is checked both ways. A failure of such a test counts only if it is an
outcome: something else came than expected, or nothing came in time. A proxy that does not start, or is gone, is
none.
"""

from __future__ import annotations

import subprocess
from collections.abc import Generator, Iterator

import pytest
from tests.harness import timing
from tests.harness.backend import ScriptedBackend
from tests.harness.client import ClosedByServer, Connect
from tests.harness.links import NextLink, kept_channels
from tests.harness.ports import free_ports
from tests.harness.proxy import IS_PUSHPIN, ProxyUnderTest
from tests.harness.zhttp import StreamAsker, StreamBackend

OUTCOMES = (AssertionError, pytest.fail.Exception, ClosedByServer, TimeoutError, ConnectionResetError, BrokenPipeError)
VERSION = "pushpin 1.36."


def pytest_configure() -> None:
    """Refuse to compare with another Pushpin than the one that the marks are about."""
    if not IS_PUSHPIN:
        return
    try:
        version = subprocess.run(["pushpin", "--version"], capture_output=True, text=True, check=True).stdout
    except OSError:
        version = "none"
    if not version.startswith(VERSION):
        pytest.exit(f"the tests compare with Debian's {VERSION}x, and here is {version.strip()}", 1)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn the outcome of a marked test round."""
    report = yield
    mark = item.get_closest_marker("differs") if IS_PUSHPIN and not item.config.option.runxfail else None
    if mark is None or call.when != "call" or report.skipped:
        return report
    (row,) = mark.args
    if call.excinfo is None:
        report.outcome = "failed"
        report.longrepr = f"marked as differing from Pushpin 1.36 ({row}), but Pushpin behaves the same"
    elif isinstance(call.excinfo.value, OUTCOMES):
        report.outcome = "skipped"
        report.wasxfail = f"differs from Pushpin 1.36: {row}"
    return report


@pytest.fixture(autouse=True)
def _shared_proxy_survives(request: pytest.FixtureRequest) -> Iterator[None]:
    """Blame the test that ends the proxy of its module, and start it again for those that follow."""
    proxy: ProxyUnderTest | None = request.getfixturevalue("proxy") if "proxy" in request.fixturenames else None
    yield
    if proxy is not None and (code := proxy.exit_code()) is not None:
        message = f"this test ended the proxy (exit code {code}):\n{proxy.end_of_log()}"
        proxy.start()
        pytest.fail(message)


@pytest.fixture(autouse=True)
def _no_more_time_to_differ(request: pytest.FixtureRequest) -> None:
    """Let a marked test, which mostly waits for what Pushpin never sends, do so no longer on a slow machine."""
    if IS_PUSHPIN and request.node.get_closest_marker("differs"):
        request.getfixturevalue("monkeypatch").setattr(timing, "TIME_FACTOR", 1.0)


# --- streams with next links -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[ScriptedBackend]:
    """A server that no route knows."""
    server = ScriptedBackend()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def names(proxy: ProxyUnderTest, backend: ScriptedBackend) -> Iterator[Iterator[str]]:
    """Names of channels that streams of no test are subscribed to."""
    with kept_channels(proxy, backend) as kept:
        yield kept


@pytest.fixture
def channel(names: Iterator[str]) -> str:
    """A channel of one's own that is subscribed to already."""
    return next(names)


@pytest.fixture
def link(backend: ScriptedBackend) -> NextLink:
    """A next link of one's own."""
    return NextLink(backend)


# --- ``zhttp/`` backends ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def zhttp_port() -> int:
    """The first of the three ports of a ``zhttp/`` target."""
    return free_ports(3)


@pytest.fixture(scope="module")
def zbackend(proxy: ProxyUnderTest, zhttp_port: int) -> Iterator[StreamBackend]:
    """The backend of the module's ``zhttp/`` target, to which the host ``z`` leads."""
    backend = StreamBackend.on_port(zhttp_port)
    try:
        backend.wait_connected(proxy, "z")
        yield backend
    finally:
        backend.stop()


@pytest.fixture
def asker(proxy: ProxyUnderTest, zbackend: StreamBackend, connect: Connect) -> StreamAsker:
    """Clients whose requests the test answers as that backend."""
    return StreamAsker(proxy, zbackend, connect)
