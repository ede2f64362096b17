"""A client that only wants to be served while others send nonsense, and the log that must not show a fault of ours."""

from __future__ import annotations

from tests.harness.client import ClosedByServer, RawClient
from tests.harness.proxy import ProxyUnderTest

PATIENCE_S = 10.0
FAULTS = r"Traceback|Error:|never (?:awaited|retrieved)|internal error"


class Bystander:
    """Asks the same again and again, on a connection that is kept."""

    def __init__(self, proxy: ProxyUnderTest, path: str, body: bytes) -> None:
        self._proxy = proxy
        self._path = path
        self._body = body
        self._client = RawClient(proxy.port)
        self._known_faults = 0

    def check(self) -> None:
        """Assert that an answer comes, on the same connection, and that the proxy has had no fault."""
        self._client.request(self._path)
        response = self._client.read_response(timeout_s=PATIENCE_S)
        assert (response.status, response.body) == (200, self._body)
        self.check_log()

    def check_log(self) -> None:
        """Assert that the proxy runs, and that its log shows no fault since the last time."""
        assert self._proxy.exit_code() is None, self._proxy.end_of_log()
        known, self._known_faults = self._known_faults, len(self._proxy.log_lines(FAULTS))
        assert self._known_faults == known, self._proxy.end_of_log()

    def close(self) -> None:
        """Leave."""
        self._client.close()


def read_what_comes(client: RawClient, seconds: float) -> bytes:
    """What the proxy sends until it closes, or until it has been silent for `seconds`."""
    received = b""
    while client.is_readable(seconds):
        try:
            received += client.read_exactly(1)
        except (ClosedByServer, OSError):
            break
    return received
