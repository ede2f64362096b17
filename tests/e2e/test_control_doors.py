"""Who may use the control doors: publishers with credentials, no web pages, and nobody who floods the log."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import zmq
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from gripcontrol import GripPubControl, parse_grip_uri
from pubcontrol import PubControl, PubControlClient
from tests.harness.backend import ScriptedBackend
from tests.harness.client import Connect, fetch
from tests.harness.grip import Stage, fresh_channel
from tests.harness.messages import HeaderList
from tests.harness.ports import free_port
from tests.harness.proxy import PROJECT, Launch, ProxyConfig, ProxyUnderTest
from tests.harness.publish import post_publish, publish_ok, stream_item
from tests.harness.timing import eventually, scaled
from tests.harness.tokens import make_token
from tests.harness.watch import scrape
from tests.harness.zmq_sockets import ZmqSockets

from holdfast.wire.jwt import encode_jwt, parse_pem_key

KEY = "key of publishers: 32 bytes or so"
ISSUER = "publisher"
TOKEN = "s3cret-token"


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend, metrics_port: int) -> ProxyUnderTest:
    return launch(
        f"* 127.0.0.1:{backend.port}",
        settings={
            "handler": {"prometheus_port": f"127.0.0.1:{metrics_port}"},
            "holdfast": {
                "publish_key": KEY,
                "publish_iss": ISSUER,
                "publish_token": TOKEN,
            },
        },
    )


def body_of(channel: str, content: str = "x") -> bytes:
    return json.dumps({"items": [stream_item(channel, content)]}).encode()


def bearer(claims: dict[str, object], secret: str = KEY) -> HeaderList:
    return [("Authorization", f"Bearer {make_token(claims, secret.encode())}")]


def soon() -> int:
    return int(time.time()) + 60


# --- credentials ------------------------------------------------------------------------------------------------------


class TestWithoutCredentials:
    def test_nothing_is_published(self, stage: Stage, metrics_port: int) -> None:
        """Whatever is wrong with them; and those who may publish go on."""
        channel = fresh_channel()
        client = stage.stream(channel)
        port = stage.proxy.control_port
        before = scrape(metrics_port)["publishes_unauthorized_total"]
        wrong: list[tuple[HeaderList, str]] = [
            ([], "credentials are missing"),
            (bearer({"exp": soon(), "iss": ISSUER}, "wrong"), "the credentials are not valid"),
            (bearer({"exp": soon(), "iss": "pushpin"}), "the token is of another issuer"),
            (bearer({"exp": soon() - 120, "iss": ISSUER}), "the token has expired"),
            ([("Authorization", f"Bearer {TOKEN}x")], "the credentials are not valid"),
            ([("Authorization", TOKEN)], "the Authorization header is not understood"),
        ]
        for headers, reason in wrong:
            response = post_publish(port, body_of(channel), headers)
            assert (response.status, response.reason) == (401, "Unauthorized")
            assert response.text == f"Unauthorized: {reason}.\n"
            assert response.header("WWW-Authenticate") == 'Bearer realm="publish", Basic realm="publish"'
        client.assert_silent(0.2)
        assert scrape(metrics_port)["publishes_unauthorized_total"] == before + len(wrong)
        stage.proxy.wait_log(r"\[WARN\].*control request from 127\.0\.0\.1 refused: credentials are missing")
        good = bearer({"exp": soon(), "iss": ISSUER})
        assert post_publish(port, body_of(channel, "now"), good).text == "Published\n"
        assert client.read_data(3) == b"now"

    @pytest.mark.parametrize("target", ["/recover", "/recover/", "/nothing", "//", "/?a", "http://localhost/publish"])
    def test_no_path_goes_around_it(self, proxy: ProxyUnderTest, target: str) -> None:
        assert fetch(proxy.control_port, target, method="POST", body=b"{}").status == 401

    def test_the_body_is_not_waited_for(self, proxy: ProxyUnderTest, connect: Connect) -> None:
        client = connect(proxy.control_port)
        client.request("/publish/", method="POST", headers=[("Content-Length", "1000000"), ("Expect", "100-continue")])
        assert client.read_response().status == 401
        client.assert_closed()

    def test_health_checks_need_none(self, proxy: ProxyUnderTest, metrics_port: int) -> None:
        assert fetch(proxy.control_port, "/").text == "Pushpin API\n"
        assert fetch(metrics_port, "/metrics").status == 200

    def test_secrets_are_in_no_log(self, proxy: ProxyUnderTest) -> None:
        post_publish(proxy.control_port, b"", [("Authorization", f"Bearer {TOKEN}x")])
        assert TOKEN not in proxy.log()
        assert KEY not in proxy.log()


@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")
class TestLibraries:
    """pubcontrol and gripcontrol, unmodified."""

    def test_grip_url(self, stage: Stage) -> None:
        channel = fresh_channel()
        client = stage.stream(channel)
        url = f"http://127.0.0.1:{stage.proxy.control_port}/?iss={ISSUER}&key="
        publisher = GripPubControl(parse_grip_uri(url + "another%20key%20of%20publishers:%2032%20bytes%20or%20so"))
        with pytest.raises(ValueError, match="401 with message: Unauthorized: the credentials"):
            publisher.publish_http_stream(channel, "wrong", blocking=True)
        publisher.close()
        publisher = GripPubControl(parse_grip_uri(url + KEY.replace(" ", "%20")))
        publisher.publish_http_stream(channel, "right", blocking=True)
        publisher.close()
        assert client.read_data(5) == b"right"
        client.assert_silent(0.1)

    def test_configuration(self, stage: Stage) -> None:
        """`control_uri`, `control_iss` and `key`; and a key without an issuer, which is sent as it is."""
        channel = fresh_channel()
        client = stage.stream(channel)
        uri = f"http://127.0.0.1:{stage.proxy.control_port}"
        for config in (
            {"control_uri": uri, "control_iss": ISSUER, "key": KEY},
            {"control_uri": uri, "key": TOKEN},
        ):
            publisher = GripPubControl(config)
            publisher.publish_http_stream(channel, "x", blocking=True)
            publisher.close()
            assert client.read_data(1) == b"x"

    def test_pubcontrol(self, stage: Stage) -> None:
        uri = f"http://127.0.0.1:{stage.proxy.control_port}"
        publisher = PubControl({"uri": uri, "iss": ISSUER, "key": KEY})
        publisher.clients[0].http_call("/recover/", b"")
        client = PubControlClient(uri)
        client.set_auth_jwt({"iss": ISSUER}, KEY)
        client.http_call("/recover/", b"")
        client.set_auth_bearer(TOKEN)
        client.http_call("/recover/", b"")
        client.set_auth_bearer("another")
        with pytest.raises(ValueError, match="401"):
            client.http_call("/recover/", b"")

    def test_requests(self, proxy: ProxyUnderTest) -> None:
        """Basic authentication: any user, and the token as password."""
        url = f"http://127.0.0.1:{proxy.control_port}/recover/"
        assert requests.post(url, auth=("me", TOKEN), timeout=scaled(5)).text == "Updated\n"
        assert requests.post(url, auth=("me", "another"), timeout=scaled(5)).status_code == 401

    def test_node(self, stage: Stage, tmp_path: Path) -> None:
        """`@fanoutio/grip`: its tokens last ten minutes; its `fetch` sends `Sec-Fetch-Mode`, and is no web page."""
        if shutil.which("npm") is None:
            if os.environ.get("CI"):
                pytest.fail("npm is missing")
            pytest.skip("npm is missing")
        install = ["npm", "install", "--no-audit", "--no-fund", "--loglevel=error", "@fanoutio/grip@4.3.0"]
        subprocess.run(install, cwd=tmp_path, check=True, timeout=90)
        (tmp_path / "publish.mjs").write_text(
            "import { Publisher } from '@fanoutio/grip';\n"
            "const [uri, channel, text] = process.argv.slice(2);\n"
            "await new Publisher(uri).publishHttpStream(channel, text);\n"
        )
        channel = fresh_channel()
        client = stage.stream(channel)
        base = f"127.0.0.1:{stage.proxy.control_port}"
        key = KEY.replace(" ", "%20")
        for text, uri, is_right in (
            ("1", f"http://{base}/?iss={ISSUER}&key={key}", True),
            ("2", f"http://{base}/?key={TOKEN}", True),
            ("3", f"http://me:{TOKEN}@{base}/", True),
            ("4", f"http://{base}/?iss={ISSUER}&key=wrong", False),
            ("5", f"http://{base}/", False),
        ):
            command = ["node", str(tmp_path / "publish.mjs"), uri, channel, text]
            done = subprocess.run(command, capture_output=True, text=True, timeout=scaled(20), check=False)
            assert (done.returncode == 0) is is_right, done.stderr
            assert is_right or "Unauthorized" in done.stderr
        assert client.read_data(3) == b"123"
        client.assert_silent(0.1)

    @pytest.mark.parametrize(
        ("parameters", "code"),
        [
            (f"iss={ISSUER}&key={KEY.replace(' ', '%20')}", 0),
            (f"key={TOKEN}", 0),
            (f"iss={ISSUER}&key=wrong", 1),
            ("", 1),
        ],
    )
    def test_our_own_command(self, stage: Stage, parameters: str, code: int) -> None:
        channel = fresh_channel()
        client = stage.stream(channel)
        url = f"http://127.0.0.1:{stage.proxy.control_port}/?{parameters}".replace("/?", "?")
        command = [sys.executable, "-m", "holdfast", "publish", channel, "hello", "--spec", url]
        done = subprocess.run(
            command, capture_output=True, text=True, env={"PYTHONPATH": str(PROJECT / "src")}, check=False
        )
        assert done.returncode == code
        if code == 0:
            assert client.read_data(6) == b"hello\n"
        else:
            assert done.stderr.startswith("Error: Unauthorized: ")
            client.assert_silent(0.1)


class TestKeys:
    def test_a_public_key(self, launch_once: Launch, backend: ScriptedBackend, tmp_path: Path) -> None:
        """Holdfast need not know the secret."""
        private = ec.generate_private_key(ec.SECP256R1())
        (tmp_path / "public.pem").write_bytes(
            private.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )
        settings = {"holdfast": {"publish_key": f"file:{tmp_path}/public.pem"}}
        proxy = launch_once(f"* 127.0.0.1:{backend.port}", settings=settings)
        pem = private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        token = encode_jwt({"exp": soon()}, parse_pem_key(pem)).decode()
        body = b'{"items": []}'
        assert post_publish(proxy.control_port, body, [("Authorization", f"Bearer {token}")]).status == 200
        public = (tmp_path / "public.pem").read_text()
        assert post_publish(proxy.control_port, body, bearer({"exp": soon()}, public)).status == 401

    def test_nothing_starts_without_its_key(self) -> None:
        """A door that should be shut must not be open because a file is missing."""
        settings = {"holdfast": {"publish_key": "file:/nowhere/key"}}
        proxy = ProxyUnderTest(ProxyConfig(routes=["* test"], settings=settings))
        try:
            proxy.start(wait=False)
            assert proxy.wait_exit() == 1
            assert "holdfast/publish_key: cannot read key file /nowhere/key" in proxy.log()
        finally:
            proxy.stop()


# --- web pages --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def open_proxy(launch: Launch, backend: ScriptedBackend) -> Iterator[ProxyUnderTest]:
    """One that asks nobody for credentials, as Pushpin."""
    port = free_port()
    yield launch(
        f"* 127.0.0.1:{backend.port}",
        settings={
            "handler": {
                "prometheus_port": f"127.0.0.1:{port}",
                "push_in_spec": f"tcp://127.0.0.1:{free_port()}",
                "command_spec": f"tcp://127.0.0.1:{free_port()}",
            },
            "holdfast": {"control_hosts": "Control.example"},
        },
    )


def setting(proxy: ProxyUnderTest, name: str) -> str:
    return str(proxy.config.settings["handler"][name])


class TestWebPages:
    @pytest.mark.parametrize(
        ("host", "headers"),
        [
            ("localhost:{port}", [("Origin", "https://evil.example"), ("Content-Type", "text/plain")]),
            ("localhost:{port}", [("Origin", "null")]),
            ("localhost:{port}", [("Origin", "http://localhost:3000"), ("Sec-Fetch-Site", "same-site")]),
            ("evil.example:{port}", [("Origin", "http://evil.example:{port}")]),
        ],
    )
    def test_publish_nothing(
        self, open_proxy: ProxyUnderTest, backend: ScriptedBackend, connect: Connect, host: str, headers: HeaderList
    ) -> None:
        stage = Stage(open_proxy, backend, connect)
        channel = fresh_channel()
        client = stage.stream(channel)
        port = open_proxy.control_port
        filled = [(name, value.format(port=port)) for name, value in headers]
        for path in ("/publish/", "/recover/", "/"):
            response = fetch(
                port, path, method="POST", host=host.format(port=port), headers=filled, body=body_of(channel)
            )
            assert (response.status, response.reason) == (403, "Forbidden")
            assert not [name for name, _ in response.headers if name.lower().startswith("access-control-")]
        client.assert_silent(0.2)

    def test_read_no_metrics(self, open_proxy: ProxyUnderTest) -> None:
        """A simple GET shows its page only by Sec-Fetch-Site, or by the name that the page has."""
        port = int(setting(open_proxy, "prometheus_port").rpartition(":")[2])
        browser = ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64)")
        assert fetch(port, "/metrics", headers=[("Sec-Fetch-Site", "cross-site")]).status == 403
        assert fetch(port, "/metrics", host="evil.example", headers=[browser]).status == 403
        for host in ("localhost", "127.0.0.1", "control.example", "CONTROL.example:1"):
            assert fetch(port, "/metrics", host=host, headers=[browser]).status == 200
        assert fetch(port, "/metrics", host="holdfast:9090", headers=[("User-Agent", "Prometheus/3.0")]).status == 200

    def test_preflights_are_refused(self, open_proxy: ProxyUnderTest) -> None:
        headers = [("Origin", "https://evil.example"), ("Access-Control-Request-Method", "POST")]
        response = fetch(open_proxy.control_port, "/publish/", method="OPTIONS", headers=headers)
        assert (response.status, response.header("Access-Control-Allow-Origin")) == (403, None)

    @pytest.mark.parametrize("host", ["holdfast:5561", "localhost", None])
    def test_programs_use_any_name(self, open_proxy: ProxyUnderTest, host: str | None) -> None:
        version = "1.0" if host is None else "1.1"
        response = fetch(
            open_proxy.control_port, "/publish/", method="POST", host=host, body=b'{"items":[]}', version=version
        )
        assert response.status == 200


# --- floods -----------------------------------------------------------------------------------------------------------


class TestFloods:
    """What is wrong is counted each time, and the log stays short."""

    COUNT = 3000

    @pytest.mark.parametrize(("kind", "name"), [(zmq.PUSH, "push_in_spec"), (zmq.DEALER, "command_spec")])
    def test_zeromq(self, open_proxy: ProxyUnderTest, sockets: ZmqSockets, kind: int, name: str) -> None:
        text = {"push_in_spec": "IN pull", "command_spec": "IN command"}[name]
        socket = sockets.connected(kind, setting(open_proxy, name))
        for _ in range(self.COUNT):
            socket.send(*([b""] if kind == zmq.DEALER else []), b"nonsense\x1b[2J\n[ERR] forged")
        summary = re.compile(rf"{text}: .*\(and (\d+) more like this\)")

        def told() -> int:
            """How many the log knows of: its lines, and those that it says are left out."""
            lines = open_proxy.log_lines(f"{text}: ")
            return len(lines) + sum(int(found[1]) for line in lines if (found := summary.search(line)))

        eventually(lambda: told() == self.COUNT, "every message in the log, or counted there", timeout_s=15)
        assert len(open_proxy.log_lines(f"{text}: ")) < 300

    def test_publishers_without_credentials(self, proxy: ProxyUnderTest, connect: Connect, metrics_port: int) -> None:
        before = scrape(metrics_port)["publishes_unauthorized_total"]
        client = connect(proxy.control_port)
        request = b"POST /publish/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}"
        for _ in range(20):
            client.send(request * 50)
            for _ in range(50):
                assert client.read_response().status == 401
        assert scrape(metrics_port)["publishes_unauthorized_total"] == before + 1000
        assert len(proxy.log_lines("control request from .* credentials are missing")) < 100

    def test_all_others_are_served(self, open_proxy: ProxyUnderTest) -> None:
        publish_ok(open_proxy.control_port, stream_item("c", "x"))
