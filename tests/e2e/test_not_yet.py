"""Options whose machinery is not there: refused by name, never read and ignored."""

from __future__ import annotations

import pytest
from tests.harness.client import fetch
from tests.harness.proxy import Launch


@pytest.mark.parametrize(
    ("line", "option"),
    [
        ("a.com,session test", "session"),
    ],
)
def test_route_is_refused_by_name(launch_once: Launch, line: str, option: str) -> None:
    proxy = launch_once(line, "good.com test")
    (warning,) = proxy.wait_log(r"\[WARN\].*routes:1")
    assert option in warning
    assert fetch(proxy.port, "/", host="a.com").status == 502
    assert fetch(proxy.port, "/", host="good.com").status == 200
