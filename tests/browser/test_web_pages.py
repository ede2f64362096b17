"""What a web page can make the browser of an operator do: nothing at the control doors (decision 14)."""

from __future__ import annotations

import json
import re

import pytest
from selenium.webdriver import Chrome
from tests.harness.backend import Reply, ScriptedBackend
from tests.harness.client import RawClient, fetch
from tests.harness.grip import Stage, fresh_channel
from tests.harness.proxy import Launch, ProxyUnderTest
from tests.harness.publish import publish_ok, stream_item

pytestmark = pytest.mark.browser

PAGE = Reply(headers=[("Content-Type", "text/html")], body=b"<!doctype html><title>evil</title>")

# Each returns what came of it: the status, or the name of the error.
POST = """
const [url, body, mode, type] = arguments, done = arguments[arguments.length - 1];
fetch(url, {method: 'POST', mode, body, headers: {'Content-Type': type}})
    .then(response => done(String(response.type === 'opaque' ? 'opaque' : response.status)), error => done(error.name));
"""
GET = """
const done = arguments[arguments.length - 1];
fetch(arguments[0]).then(response => done(String(response.status)), error => done(error.name));
"""


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend, metrics_port: int) -> ProxyUnderTest:
    settings = {"handler": {"prometheus_port": f"127.0.0.1:{metrics_port}"}}
    return launch(f"* 127.0.0.1:{backend.port}", settings=settings)


def refused(metrics_port: int) -> int:
    (value,) = re.findall(r"^holdfast_control_pages_refused_total (\S+)$", fetch(metrics_port, "/").text, re.MULTILINE)
    return int(float(value))


def assert_only_ours(stage: Stage, channel: str, client: RawClient) -> None:
    publish_ok(stage.proxy.control_port, stream_item(channel, "ours"))
    assert client.read_data(4) == b"ours"


@pytest.mark.parametrize("page_host", ["localhost", "127.0.0.1", "evil.example"])
def test_a_page_of_another_origin(stage: Stage, browser: Chrome, metrics_port: int, page_host: str) -> None:
    channel = fresh_channel()
    client = stage.stream(channel)
    body = json.dumps({"items": [stream_item(channel, "evil")]})
    browser.get(f"http://{page_host}:{stage.backend.port}{stage.backend.serve(PAGE)}")
    before = refused(metrics_port)
    for host in ("localhost", "127.0.0.1", "evil.example"):
        url = f"http://{host}:{stage.proxy.control_port}/publish/"
        # what a page may send without asking, and cannot read the answer of
        assert browser.execute_async_script(POST, url, body, "no-cors", "text/plain") == "opaque"
        # what the browser asks for first
        assert browser.execute_async_script(POST, url, body, "cors", "application/json") == "TypeError"
        assert browser.execute_async_script(GET, f"http://{host}:{metrics_port}/metrics") == "TypeError"
    assert refused(metrics_port) == before + 9
    assert_only_ours(stage, channel, client)


def test_a_site_that_gives_its_name_our_address(stage: Stage, browser: Chrome, metrics_port: int) -> None:
    """DNS rebinding: to the browser page and door are the same origin."""
    channel = fresh_channel()
    client = stage.stream(channel)
    body = json.dumps({"items": [stream_item(channel, "evil")]})
    base = f"http://evil.example:{stage.proxy.control_port}"
    browser.get(base)
    assert "Forbidden: a page asks by a name" in browser.page_source
    assert browser.execute_async_script(POST, f"{base}/publish/", body, "cors", "application/json") == "403"
    base = f"http://evil.example:{metrics_port}"
    browser.get(base)
    assert browser.execute_async_script(GET, f"{base}/metrics") == "403"
    assert_only_ours(stage, channel, client)


def test_an_operator_who_looks(stage: Stage, browser: Chrome, metrics_port: int) -> None:
    browser.get(f"http://localhost:{metrics_port}/metrics")
    assert "holdfast_control_pages_refused_total" in browser.page_source
    browser.get(f"http://127.0.0.1:{stage.proxy.control_port}/")
    assert "Pushpin API" in browser.page_source
