"""What only Holdfast's program has: settings from the environment, a start without files, warnings, a JSON log."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.harness.backend import Reply, ScriptedBackend
from tests.harness.client import Connect, fetch
from tests.harness.grip import fresh_channel, stream_reply
from tests.harness.ports import free_port, is_open
from tests.harness.proxy import PROJECT, Launch, ProxyConfig, ProxyUnderTest
from tests.harness.publish import publish_ok, stream_item
from tests.harness.timing import eventually, scaled

DEBIAN_CONFIG = Path("/etc/pushpin/pushpin.conf")
ANY = Reply(body=b"ok")


def test_route_is_a_complete_start(backend: ScriptedBackend, tmp_path: Path) -> None:
    """Without any file; the ports are those of the shipped file unless they are given."""
    port, control = free_port(), free_port()
    command = [sys.executable, "-m", "holdfast", "--route", f"* 127.0.0.1:{backend.port}", f"--port={port}"]
    environment = {
        **os.environ,
        "PYTHONPATH": str(PROJECT / "src"),
        "HOLDFAST_HANDLER_PUSH_IN_HTTP_PORT": str(control),
        "HOME": str(tmp_path),
    }
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=log)
    try:
        eventually(lambda: is_open(port) and is_open(control), "both ports")
        assert fetch(port, backend.serve(ANY)).text == "ok"
    finally:
        server.terminate()
        assert server.wait(scaled(8)) == 0


def test_unknown_keys_and_bad_values_are_named() -> None:
    """With file and line; in the environment with the variable."""
    config = ProxyConfig(
        routes=["* test"],
        settings={"proxy": {"no_such_key": "x"}, "runner": {"client_maxconn": "many"}},
        environment={"HOLDFAST_PROXY_NO_SUCH_VARIABLE": "x"},
    )
    proxy = ProxyUnderTest(config)
    try:
        proxy.start(wait=False)
        lines = (proxy.directory / "pushpin.conf").read_text().splitlines()
        for key in ("no_such_key=x", "client_maxconn=many"):
            number = lines.index(key) + 1
            proxy.wait_log(rf"pushpin\.conf:{number}\b.*{key.partition('=')[0]}")
        proxy.wait_log("HOLDFAST_PROXY_NO_SUCH_VARIABLE")
        assert "Traceback" not in proxy.log()
    finally:
        proxy.stop()


def test_environment(launch_once: Launch) -> None:
    """Every setting, over the file."""
    dead = free_port()
    proxy = launch_once(
        f"* 127.0.0.1:{dead}",
        settings={"proxy": {"debug": "false"}},
        environment={"HOLDFAST_PROXY_DEBUG": "true"},
    )
    assert fetch(proxy.port, "/").text == f"Unable to connect to any targets. Tried: 127.0.0.1:{dead}\n"


@pytest.mark.skipif(not DEBIAN_CONFIG.exists(), reason="needs Debian's pushpin package")
def test_debian_configuration_as_it_is(tmp_path: Path, backend: ScriptedBackend, connect: Connect) -> None:
    """Drop-in: Debian's file unchanged; only ports and directories are moved, by the environment."""
    shutil.copy(DEBIAN_CONFIG, tmp_path / "pushpin.conf")
    (tmp_path / "routes").write_text(f"* 127.0.0.1:{backend.port}\n")
    port, control = free_port(), free_port()
    environment = {
        **os.environ,
        "PYTHONPATH": str(PROJECT / "src"),
        "HOLDFAST_RUNNER_HTTP_PORT": f"127.0.0.1:{port}",
        "HOLDFAST_HANDLER_PUSH_IN_HTTP_PORT": str(control),
        "HOLDFAST_HANDLER_PUSH_IN_SPEC": f"tcp://127.0.0.1:{free_port()}",
        "HOLDFAST_HANDLER_PUSH_IN_SUB_SPECS": f"tcp://127.0.0.1:{free_port()}",
        "HOLDFAST_HANDLER_COMMAND_SPEC": f"tcp://127.0.0.1:{free_port()}",
        "HOLDFAST_GLOBAL_RUNDIR": str(tmp_path / "run"),
        "HOLDFAST_RUNNER_LOGDIR": str(tmp_path / "log"),
    }
    command = [sys.executable, "-m", "holdfast", "--config", str(tmp_path / "pushpin.conf")]
    with (tmp_path / "output").open("wb") as log:
        server = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=log)
    try:
        eventually(lambda: is_open(port) and is_open(control), (tmp_path / "output").read_text() or "both ports", 8)
        channel = fresh_channel()
        client = connect(port)
        client.request(backend.serve(stream_reply(channel)))
        client.read_head()
        publish_ok(control, stream_item(channel, "dropped in"))
        assert client.read_data(10) == b"dropped in"
    finally:
        server.terminate()
        assert server.wait(scaled(8)) == 0


def test_json(launch_once: Launch, backend: ScriptedBackend) -> None:
    """One JSON object per line."""
    proxy = launch_once(f"* 127.0.0.1:{backend.port}", environment={"HOLDFAST_HOLDFAST_LOG_FORMAT": "json"})
    fetch(proxy.port, backend.serve(ANY), host="json.com")
    proxy.wait_log("json.com")
    for line in proxy.log().splitlines():
        assert isinstance(json.loads(line), dict)


def test_merge_output(launch_once: Launch, backend: ScriptedBackend) -> None:
    """Accepted: there is only one output."""
    proxy = launch_once(f"* 127.0.0.1:{backend.port}", arguments=["--merge-output"])
    assert fetch(proxy.port, backend.serve(ANY)).text == "ok"


def test_logdir_stays_empty(launch_once: Launch, backend: ScriptedBackend) -> None:
    """There is one log, and it goes to standard output."""
    proxy = launch_once(f"* 127.0.0.1:{backend.port}")
    assert fetch(proxy.port, backend.serve(ANY)).text == "ok"
    proxy.wait_log("GET http://localhost/")
    assert list((proxy.directory / "log").iterdir()) == []
