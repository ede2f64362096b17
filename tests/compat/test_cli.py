"""The program itself: its flags, where settings come from, what it says, and how it ends."""

from __future__ import annotations

import re
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import pytest
from tests.harness.backend import Reply, ScriptedBackend
from tests.harness.client import ClosedByServer, Connect, RawClient, fetch
from tests.harness.grip import Stage, fresh_channel, stream_reply
from tests.harness.ports import free_port, is_open
from tests.harness.proxy import Launch, ProxyConfig, ProxyUnderTest, differs
from tests.harness.timing import eventually
from tests.harness.tokens import token_claims

ANY = Reply(body=b"ok")


def answers(port: int) -> bool:
    """Whether a request is answered soon; 1.36 loses those of its first moments."""
    try:
        return fetch(port, "/", timeout_s=1).status == 200
    except (TimeoutError, ClosedByServer):
        return False


Prepare = Callable[..., ProxyUnderTest]


@pytest.fixture
def prepare() -> Iterator[Prepare]:
    """Make proxies that the test starts, with a route to the test target: ``prepare("--id=3", settings=...)``."""
    made: list[ProxyUnderTest] = []

    def make(*arguments: str, routes: Sequence[str] = ("* test",), **fields: Any) -> ProxyUnderTest:
        proxy = ProxyUnderTest(ProxyConfig(routes=routes, arguments=arguments, **fields))
        made.append(proxy)
        return proxy

    yield make
    for proxy in made:
        proxy.stop()


def run_to_end(proxy: ProxyUnderTest) -> tuple[int, str]:
    """Start a proxy that cannot run; its exit code and output."""
    proxy.start(wait=False)
    return proxy.wait_exit(), proxy.log()


class TestFlags:
    def test_id(self, prepare: Prepare) -> None:
        """routes-107: the doors move by ten times the id, the client port stays; sockets get a name of their own."""
        proxy = prepare("--id=3", settings={"handler": {"stats_spec": "ipc://{rundir}/{ipc_prefix}stats"}})
        proxy.start(wait=False)
        eventually(lambda: is_open(proxy.control_port + 30), "the control door at its port plus 30")
        eventually(lambda: is_open(proxy.port), "the client port")
        assert not is_open(proxy.control_port)
        eventually((proxy.directory / "run" / "p3-stats").is_socket, "the socket of statistics")

    def test_port_offset(self, prepare: Prepare) -> None:
        """routes-106: all doors for publishers and operators move, the client port stays."""
        doors = {name: free_port() for name in ("push_in_spec", "push_in_sub_specs", "command_spec")}
        specs = {name: f"tcp://127.0.0.1:{port}" for name, port in doors.items()}
        proxy = prepare(settings={"global": {"port_offset": 10}, "handler": specs})
        proxy.start(wait=False)
        for name, port in {"push_in_http_port": proxy.control_port, **doors}.items():
            eventually(partial(is_open, port + 10), f"{name} plus 10")
            assert not is_open(port)
        eventually(lambda: is_open(proxy.port), "the client port")

    def test_port(self, prepare: Prepare) -> None:
        """routes-108: it replaces the ports of the file, and listens at that address only."""
        port = free_port()
        proxy = prepare(f"--port=127.0.0.1:{port}")
        proxy.start(wait=False)
        eventually(lambda: is_open(port), "the port of the command line")
        assert not is_open(proxy.port)
        assert not is_open(port, "127.0.0.2")

    def test_bare_port(self, prepare: Prepare) -> None:
        """A bare port listens on every address."""
        port = free_port()
        proxy = prepare(f"--port={port}")
        proxy.start(wait=False)
        eventually(lambda: is_open(port, "127.0.0.2"), "the port at another loopback address")

    def test_several_routes(self, launch_once: Launch, backend: ScriptedBackend) -> None:
        target = f"127.0.0.1:{backend.port}"
        arguments = ["--route", f"a.com {target}", "--route", "b.com test", "--route", "c.com"]
        proxy = launch_once(arguments=arguments)
        path = backend.serve(ANY)
        assert fetch(proxy.port, path, host="a.com").text == "ok"
        assert fetch(proxy.port, "/", host="b.com").text == "Hello from the Pushpin test handler!\n"
        proxy.wait_log(r"<route>:1: must specify condition and at least one target$")

    def test_logfile(self, prepare: Prepare) -> None:
        """It is appended to in place of standard output."""
        proxy = prepare("--logfile=to-file")
        log = proxy.directory / "to-file"
        log.write_text("earlier\n")
        proxy.start(wait=False)
        eventually(lambda: is_open(proxy.port), "the client port")
        eventually(lambda: "started" in log.read_text(), "the log in the file")
        assert log.read_text().startswith("earlier\n")
        assert "started" not in proxy.log()

    def test_logfile_rotation(self, prepare: Prepare) -> None:
        """routes spec §2.8: after SIGHUP the log goes to a new file of that name, not to the renamed one."""
        proxy = prepare("--logfile=to-file")
        log, renamed = proxy.directory / "to-file", proxy.directory / "to-file.1"
        proxy.start(wait=False)
        eventually(lambda: is_open(proxy.port) and is_open(proxy.control_port), "both ports")
        eventually(lambda: answers(proxy.port), "an answer")
        log.rename(renamed)
        proxy.send_signal(signal.SIGHUP)
        eventually(log.exists, "the new file")
        eventually(lambda: "routes loaded" in log.read_text(), "the log of the reload in the new file")
        before = renamed.read_text()
        fetch(proxy.port, "/rotated")
        eventually(lambda: "/rotated" in log.read_text(), "the log of a request in the new file")
        assert renamed.read_text() == before

    @pytest.mark.parametrize(
        ("argument", "shown", "hidden"),
        [
            ("--loglevel=1", r"\[WARN\]", "routes loaded"),
            ("--verbose", r"\[DEBUG\]", None),
            ("--loglevel=3", r"\[DEBUG\]", None),
        ],
    )
    def test_loglevel(self, prepare: Prepare, argument: str, shown: str, hidden: str | None) -> None:
        proxy = prepare(argument, routes=["* test", "bad"])
        proxy.start(wait=False)
        eventually(lambda: is_open(proxy.port) and is_open(proxy.control_port), "both ports")
        eventually(lambda: answers(proxy.port), "an answer")
        proxy.wait_log(shown)
        assert hidden is None or not re.search(hidden, proxy.log())

    def test_version(self, prepare: Prepare) -> None:
        proxy = prepare("--version")
        code, output = run_to_end(proxy)
        assert code == 0
        assert re.fullmatch(r"(pushpin|holdfast) \d+\.\d+\S*\n", output)

    @pytest.mark.parametrize(
        ("argument", "text"),
        [
            ("--port=0", "port must be greater than or equal to 1"),
            ("--id=-1", "id must be greater than or equal to 0"),
            ("--loglevel=-1", "log level must be greater than or equal to 0"),
            ("--no-such-flag", "no-such-flag"),
        ],
    )
    def test_bad_value(self, prepare: Prepare, argument: str, text: str) -> None:
        """routes spec §2.6: it is named, and nothing starts."""
        proxy = prepare(argument)
        code, output = run_to_end(proxy)
        assert code in (1, 2)
        assert text in output
        assert "Traceback" not in output


class TestStartAndEnd:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_exit_code(self, launch_once: Launch, number: signal.Signals) -> None:
        """routes-109: 0 when asked to stop."""
        proxy = launch_once("* test")
        proxy.send_signal(number)
        assert proxy.wait_exit() == 0
        proxy.wait_log(r"\[INFO\].* stopping\.\.\.$")

    def test_end_with_held_clients(self, launch_once: Launch, backend: ScriptedBackend, connect: Connect) -> None:
        """Holds are cut, and do not keep the program."""
        proxy = launch_once(f"* 127.0.0.1:{backend.port}")
        client = Stage(proxy, backend, connect).stream(fresh_channel())
        proxy.send_signal(signal.SIGTERM)
        assert proxy.wait_exit() == 0
        client.read_to_close()

    @differs("sigterm")
    def test_end_of_held_clients(self, launch_once: Launch, backend: ScriptedBackend, connect: Connect) -> None:
        """A stream ends cleanly, and a long poll gets what it would get at its timeout."""
        proxy = launch_once(f"* 127.0.0.1:{backend.port}")
        stage = Stage(proxy, backend, connect)
        stream, poll = stage.stream(fresh_channel()), stage.poll(fresh_channel())
        proxy.send_signal(signal.SIGTERM)
        assert stream.read_chunks() == b""
        assert poll.read_response().text == "timeout\n"

    def test_missing_configuration(self, prepare: Prepare) -> None:
        """routes-109."""
        proxy = prepare()
        (proxy.directory / "pushpin.conf").unlink()
        code, output = run_to_end(proxy)
        assert code == 1
        assert "pushpin.conf" in output
        assert "Traceback" not in output

    def test_no_ports(self, prepare: Prepare) -> None:
        """routes-109."""
        proxy = prepare(http_ports="")
        code, output = run_to_end(proxy)
        assert (code, "no server ports configured" in output) == (1, True)

    def test_bad_port(self, prepare: Prepare) -> None:
        proxy = prepare(http_ports="127.0.0.1:x")
        code, output = run_to_end(proxy)
        assert (code, "invalid http port: 127.0.0.1:x" in output) == (1, True)

    def test_port_in_use(self, prepare: Prepare) -> None:
        """It ends with a message that names the port."""
        proxy = prepare()
        with socket.create_server(("127.0.0.1", proxy.port)):
            code, output = run_to_end(proxy)
        assert code == 1
        assert str(proxy.port) in output
        assert "Traceback" not in output


class TestSettings:
    @pytest.mark.parametrize(
        ("value", "is_on"), [("no", True), ("off", True), ("1", True), ("False", False), ("0", False), ("", False)]
    )
    def test_booleans(self, launch_once: Launch, value: str, is_on: bool) -> None:
        """routes-103."""
        proxy = launch_once(f"* 127.0.0.1:{free_port()}", settings={"proxy": {"debug": value}})
        assert fetch(proxy.port, "/").text.startswith("Unable to connect") == is_on

    @pytest.mark.parametrize(("value", "issuer"), [("a;b", "a"), ('"x, y"', "x, y"), ("a, b", None)])
    def test_lists_and_comments(
        self, launch_once: Launch, backend: ScriptedBackend, connect: Connect, value: str, issuer: str | None
    ) -> None:
        """routes-104: a list where one text is expected counts as empty."""
        proxy = launch_once(f"* 127.0.0.1:{backend.port}", settings={"proxy": {"sig_iss": value}})
        token = Stage(proxy, backend, connect).received().header("Grip-Sig")
        if issuer is None:
            assert token is None
        else:
            assert token_claims(token, b"changeme")["iss"] == issuer


class TestLog:
    LINE = re.compile(r"\[(ERR|WARN|INFO|DEBUG|TRACE)\] \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} \S.*")

    def test_every_line_has_the_format(self, launch_once: Launch) -> None:
        """routes-110 and routes spec §2.10."""
        proxy = launch_once("* test", "bad")
        fetch(proxy.port, "/")
        proxy.wait_log("test code=200 37$")
        lines = proxy.log().splitlines()
        assert lines
        assert [line for line in lines if not self.LINE.fullmatch(line)] == []

    def test_request_lines(self, launch_once: Launch, backend: ScriptedBackend, connect: Connect) -> None:
        """routes-110: ``route=`` only for an explicit id, ``from=`` and ``ua=`` if asked for."""
        target = f"127.0.0.1:{backend.port}"
        proxy = launch_once(
            f"* {target}", f"id.com,id=foo {target}", settings={"proxy": {"log_from": "true", "log_user_agent": "true"}}
        )
        path = backend.serve(Reply(201, "X", body=b"12345"))
        fetch(proxy.port, path, host="id.com", headers=[("User-Agent", "me/1.0"), ("Referer", "http://r/a%20b")])
        (line,) = proxy.wait_log(rf"GET http://id\.com{path} -> ")
        expected = f"{path} -> {target} from=127.0.0.1 ref=http://r/a%20b route=foo code=201 5 ua=me/1.0"
        assert line.endswith(expected)
        fetch(proxy.port, path, host="other.com", method="POST", body=b"x")
        (line,) = proxy.wait_log(rf"POST http://other\.com{path} -> ")
        assert line.endswith(f"{path} -> {target} from=127.0.0.1 code=201 5")
        stage = Stage(proxy, backend, connect)
        stage.hold(stream_reply(fresh_channel()), host="held.com")
        (line,) = proxy.wait_log(r"GET http://held\.com\S* -> ")
        assert line.endswith(f" -> {target} from=127.0.0.1 accept")

    def test_request_that_reached_no_target(self, launch_once: Launch) -> None:
        proxy = launch_once("a.com test")
        with RawClient(proxy.port) as client:
            client.request("/x", host="none.com")
            client.read_response()
        (line,) = proxy.wait_log(r"GET http://none\.com/x")
        assert " -> " not in line
