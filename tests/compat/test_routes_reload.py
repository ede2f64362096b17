"""The routes file over time: what is said of bad lines, when a change is in force, and that nobody is dropped by it."""

from __future__ import annotations

import os
import re
import signal
import threading
import time

import pytest
from tests.harness.backend import Framing, Reply, ScriptedBackend
from tests.harness.client import Connect, fetch
from tests.harness.grip import Stage, fresh_channel
from tests.harness.proxy import Launch, ProxyConfig, ProxyUnderTest, differs
from tests.harness.publish import publish_ok, response_item, stream_item
from tests.harness.timing import eventually


@pytest.fixture
def proxy(launch_once: Launch, backend: ScriptedBackend) -> ProxyUnderTest:
    """A proxy with the one route ``old.example``."""
    return launch_once(route("old.example", backend))


def route(host: str, backend: ScriptedBackend) -> str:
    return f"{host} 127.0.0.1:{backend.port}"


def has_route(proxy: ProxyUnderTest, host: str) -> bool:
    return fetch(proxy.port, "/", host=host).status != 502


def wait_for_route(proxy: ProxyUnderTest, host: str, within_s: float) -> None:
    eventually(lambda: has_route(proxy, host), f"a route for {host}", timeout_s=within_s)


class TestReload:
    def test_changed_file(self, proxy: ProxyUnderTest, backend: ScriptedBackend) -> None:
        """routes-27: in force within 2 s, and said."""
        assert not has_route(proxy, "new.example")
        proxy.write_routes([route("new.example", backend), route("*.example", backend)])
        wait_for_route(proxy, "new.example", within_s=2.5)
        assert not has_route(proxy, "old.example")
        proxy.wait_log(r"\[INFO\].* routes file changed, reloading$")
        proxy.wait_log(r"\[INFO\].* routes loaded with 2 entries$")

    def test_replaced_file(self, proxy: ProxyUnderTest, backend: ScriptedBackend) -> None:
        """routes-27: by rename, and a second time."""
        for host in ("one.example", "two.example"):
            fresh = proxy.directory / "routes.new"
            fresh.write_text(route(host, backend) + "\n")
            fresh.rename(proxy.routes_file)
            wait_for_route(proxy, host, within_s=2.5)

    def test_deleted_file(self, proxy: ProxyUnderTest) -> None:
        """routes-27: the old table stays."""
        os.unlink(proxy.routes_file)
        proxy.wait_log(r"\[WARN\].* unable to open routes file: .*routes$")
        assert has_route(proxy, "old.example")

    @pytest.mark.parametrize(
        "signalled", [True, pytest.param(False, marks=differs("watched-directory"))], ids=["SIGHUP", "watched"]
    )
    def test_file_that_appears_later(self, proxy: ProxyUnderTest, backend: ScriptedBackend, signalled: bool) -> None:
        """1.41 watches the directory."""
        os.unlink(proxy.routes_file)
        proxy.wait_log(r"unable to open routes file")
        proxy.write_routes([route("late.example", backend)])
        if signalled:
            proxy.send_signal(signal.SIGHUP)
        wait_for_route(proxy, "late.example", within_s=2.5)

    def test_missing_file_at_start(self, backend: ScriptedBackend) -> None:
        """Every request is answered "route not found"; the proxy runs."""
        proxy = ProxyUnderTest(ProxyConfig())
        try:
            os.unlink(proxy.routes_file)
            proxy.start()
            proxy.wait_log(r"\[WARN\].* unable to open routes file: .*routes$")
            assert not has_route(proxy, "any.example")
        finally:
            proxy.stop()

    def test_sighup_reloads_at_once(self, proxy: ProxyUnderTest, backend: ScriptedBackend) -> None:
        """routes-28."""
        proxy.write_routes([route("new.example", backend)])
        start = time.monotonic()
        proxy.send_signal(signal.SIGHUP)
        wait_for_route(proxy, "new.example", within_s=0.8)
        assert time.monotonic() - start < 0.9
        proxy.wait_log(r"\[INFO\].* reloading$")

    @differs("half-written-routes")
    def test_sighup_while_the_file_is_being_written(self, proxy: ProxyUnderTest, backend: ScriptedBackend) -> None:
        """Whoever writes in place empties the file first; meanwhile the old routes stay."""
        with proxy.routes_file.open("w") as routes:
            proxy.send_signal(signal.SIGHUP)
            proxy.wait_log(r"\[INFO\].* reloading$")
            for _ in range(30):
                assert has_route(proxy, "old.example")
                time.sleep(0.01)
            routes.write(route("new.example", backend))
        wait_for_route(proxy, "new.example", within_s=2.5)

    def test_route_on_the_command_line(self, launch_once: Launch, backend: ScriptedBackend) -> None:
        """routes-29: the file is neither read nor watched."""
        proxy = launch_once(route("file.example", backend), arguments=["--route", "arg.example test"])
        assert has_route(proxy, "arg.example")
        assert not has_route(proxy, "file.example")
        proxy.write_routes([route("changed.example", backend)])
        time.sleep(1.5)
        assert not has_route(proxy, "changed.example")


class TestNobodyIsDropped:
    def test_holds(self, proxy: ProxyUnderTest, backend: ScriptedBackend, connect: Connect) -> None:
        """Held clients outlive their route, and are reached as before."""
        stage = Stage(proxy, backend, connect)
        channel = fresh_channel()
        stream, poll = stage.stream(channel, host="old.example"), stage.poll(channel, host="old.example")
        proxy.write_routes([route("new.example", backend)])
        proxy.send_signal(signal.SIGHUP)
        wait_for_route(proxy, "new.example", within_s=2)
        assert not has_route(proxy, "old.example")
        publish_ok(proxy.control_port, stream_item(channel, "to stream"), response_item(channel, "to poll"))
        assert stream.read_data(9) == b"to stream"
        assert poll.read_response().text == "to poll"

    def test_requests(self, proxy: ProxyUnderTest, backend: ScriptedBackend, connect: Connect) -> None:
        """A request in progress keeps the rule that it started with."""
        gate = threading.Event()
        path = backend.serve(Reply(body=[b"a", gate, b"b"], framing=Framing.CHUNKED))
        client = connect(proxy.port)
        client.request(path, host="old.example")
        client.read_head()
        proxy.write_routes([route("new.example", backend)])
        proxy.send_signal(signal.SIGHUP)
        wait_for_route(proxy, "new.example", within_s=2)
        gate.set()
        assert client.read_chunks() == b"ab"

    def test_idle_connections(self, proxy: ProxyUnderTest, backend: ScriptedBackend, connect: Connect) -> None:
        """A kept-alive connection sees the new table with its next request."""
        path = backend.serve(Reply(body=b"ok"))
        client = connect(proxy.port)
        client.request(path, host="old.example")
        assert client.read_response().text == "ok"
        proxy.write_routes([route("new.example", backend)])
        proxy.send_signal(signal.SIGHUP)
        wait_for_route(proxy, "new.example", within_s=2)
        client.request(path, host="new.example")
        assert client.read_response().text == "ok"


BAD_LINES = [
    ("a.com", "must specify condition and at least one target"),
    ("a.com\th:80", "must specify condition and at least one target"),
    ("a.com, h:80", "expecting prop"),
    (" id=x h:80", "expecting prop"),
    ("a.com h:80,#c", "expecting prop"),
    ("a.com x=y:80", "expecting prop"),
    ("a.com,=x h:80", "empty prop name"),
    ("a.com h", "target bad format"),
    ("a.com h:0", "target invalid port"),
    ("a.com h:65536", "target invalid port"),
    ("a.com h:80x", "target invalid port"),
    ("a.com good:80 bad", "target bad format"),
    ("a.com,proto=ftp h:80", "proto must be set to 'http' or 'ws'"),
    ("a.com,ssl=maybe h:80", "ssl must be set to 'yes' or 'no'"),
    ("a.com,path_beg= h:80", "path_beg cannot be empty"),
    ("a.com,jsonp_mode=x h:80", "jsonp_mode must be set to 'basic' or 'extended'"),
    ("a.com,header=nocolon h:80", "header must use format 'name:value'"),
]
BAD_QUOTES = [
    ('a.com,x="y h:80', "unterminated quoted section"),
    ('a.com,x="\\', "unterminated escape sequence"),
    ('a.com,x="\\n" h:80', "unexpected escape character: n"),
]


def test_bad_lines_are_named_and_skipped(launch_once: Launch, backend: ScriptedBackend) -> None:
    """routes-1 to routes-11: a warning with file and line for each, none for comments, and all other lines work."""
    lines = ["# comment", "", "   ", *(line for line, _ in BAD_LINES), f"good.com 127.0.0.1:{backend.port}#note"]
    proxy = launch_once(*lines)
    proxy.wait_log("routes loaded with 1 entries$")
    warnings = [_without_prefix(line) for line in proxy.log_lines(r"\[WARN\].*routes:")]
    assert warnings == [f"routes:{number}: {text}" for number, (_, text) in enumerate(BAD_LINES, 4)]
    assert has_route(proxy, "good.com")


@pytest.mark.parametrize(
    ("line", "text"),
    [pytest.param(line, text, marks=differs("bad-quotes"), id=text) for line, text in BAD_QUOTES],
)
def test_bad_quotes_are_named(launch_once: Launch, line: str, text: str) -> None:
    """routes-7 and the table of routes spec §1.2."""
    proxy = launch_once(line, "good.com test")
    proxy.wait_log("routes loaded with 1 entries$")
    assert [_without_prefix(line) for line in proxy.log_lines(r"\[WARN\].*routes:")] == [f"routes:1: {text}"]
    assert has_route(proxy, "good.com")


def test_duplicate_condition(launch_once: Launch, backend: ScriptedBackend) -> None:
    """routes-13: no colon after the line number; the first rule stays."""
    proxy = launch_once(f"a.com 127.0.0.1:{backend.port}", "a.com,id=other test")
    proxy.wait_log(r"\[WARN\].*routes:2 skipping duplicate condition$")
    assert fetch(proxy.port, "/", host="a.com").text == "no script for this path\n"


def _without_prefix(line: str) -> str:
    found = re.search(r"routes:\d.*", line)
    assert found
    return found.group()
