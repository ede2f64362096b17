"""packaging/docker: what the entrypoint runs, and what the Dockerfile promises. No image is built here."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

PROJECT = Path(__file__).resolve().parents[3]
DOCKER = PROJECT / "packaging" / "docker"
ENTRYPOINT, HEALTHCHECK = DOCKER / "entrypoint", DOCKER / "healthcheck"

FAKE = """\
#!/bin/sh
printf '%s\\n' "$(basename "$0")" "$@"
"""

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    """What is /etc for the entrypoint."""
    path = tmp_path / "etc"
    path.mkdir()
    return path


@pytest.fixture
def run(tmp_path: Path, etc: Path) -> Run:
    """Run the entrypoint with a `holdfast` that prints its name and arguments, one a line."""
    for name in ("holdfast", "other"):
        (tmp_path / name).write_text(FAKE)
        (tmp_path / name).chmod(0o755)
    script = tmp_path / "entrypoint"
    script.write_text(ENTRYPOINT.read_text().replace("/etc/", f"{etc}/"))

    def run_it(*arguments: str, environ: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", **(environ or {})}
        return subprocess.run(
            ["sh", str(script), *arguments], env=environment, capture_output=True, text=True, timeout=20
        )

    return run_it


def add(etc: Path, name: str) -> str:
    """Add a configuration and return its path."""
    path = etc / name
    path.parent.mkdir(exist_ok=True)
    path.touch()
    return str(path)


def test_target_becomes_the_route(run: Run) -> None:
    """routes spec §2.5; no file is written for it, so that the file system can be read-only."""
    result = run(environ={"target": "backend:8000"})
    assert result.stdout.splitlines() == ["holdfast", "--route", "* backend:8000,over_http"]


def test_arguments_come_last(run: Run) -> None:
    """So that they win, and an argument with blanks stays one."""
    result = run("--loglevel", "3", "--route", "a.com b:1", environ={"target": "b:8000"})
    expected = ["holdfast", "--route", "* b:8000,over_http", "--loglevel", "3", "--route", "a.com b:1"]
    assert result.stdout.splitlines() == expected


@pytest.mark.parametrize("environ", [{}, {"target": ""}])
def test_configuration_of_its_own_before_that_of_pushpin(run: Run, etc: Path, environ: dict[str, str]) -> None:
    pushpins = add(etc, "pushpin/pushpin.conf")
    assert run(environ=environ).stdout.splitlines() == ["holdfast", "--config", pushpins]
    own = add(etc, "holdfast/holdfast.conf")
    assert run(environ=environ).stdout.splitlines() == ["holdfast", "--config", own]


def test_target_and_configuration(run: Run, etc: Path) -> None:
    own = add(etc, "holdfast/holdfast.conf")
    result = run(environ={"target": "b:8000"})
    assert result.stdout.splitlines() == ["holdfast", "--config", own, "--route", "* b:8000,over_http"]


def test_nothing_to_do_is_said(run: Run) -> None:
    result = run()
    assert (result.returncode, result.stdout) == (1, "")
    assert "set target=HOST:PORT" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["publish", "c", "a b"], ["holdfast", "publish", "c", "a b"]),
        (["check", "http://x/"], ["holdfast", "check", "http://x/"]),
        (["options"], ["holdfast", "options"]),
        (["other", "-x"], ["other", "-x"]),
        (["--version"], ["holdfast", "--version"]),
    ],
)
def test_other_commands(run: Run, arguments: list[str], expected: list[str]) -> None:
    assert run(*arguments).stdout.splitlines() == expected


def test_signals_reach_the_server(tmp_path: Path, run: Run) -> None:
    """The shell is replaced, so that the server is process 1 of the container and gets SIGTERM itself."""
    (tmp_path / "holdfast").write_text("#!/bin/sh\necho $$\n")
    process = subprocess.Popen(
        ["sh", str(tmp_path / "entrypoint")],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "target": "b:1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    output, _ = process.communicate(timeout=20)
    assert int(output) == process.pid


class Status(BaseHTTPRequestHandler):
    """Answers with the status in the path."""

    def do_GET(self) -> None:
        self.send_response(int(self.path[1:]))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), Status) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def check_health(url: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HEALTHCHECK_URL": url, "http_proxy": "http://127.0.0.1:1"}
    command = [sys.executable, str(HEALTHCHECK)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=20)


@pytest.mark.parametrize(("status", "code"), [(200, 0), (401, 0), (500, 1)])
def test_health(port: int, status: int, code: int) -> None:
    assert check_health(f"http://127.0.0.1:{port}/{status}").returncode == code


def test_health_of_what_is_not_there() -> None:
    result = check_health("http://127.0.0.1:1/")
    assert result.returncode == 1
    assert result.stderr.startswith("no answer from http://127.0.0.1:1/: ")


INSTRUCTIONS = [
    (line.split(maxsplit=1)[0], line.split(maxsplit=1)[1])
    for line in re.sub(r"\\\n\s*", "", (DOCKER / "Dockerfile").read_text()).splitlines()
    if line and not line.startswith("#")
]
LAST_STAGE = INSTRUCTIONS[max(i for i, (name, _) in enumerate(INSTRUCTIONS) if name == "FROM") :]


def arguments_of(instruction: str) -> list[str]:
    return [text for name, text in LAST_STAGE if name == instruction]


class TestDockerfile:
    def test_it_is_built_in_two_stages_from_a_pinned_slim_image(self) -> None:
        images = [text.split()[0] for name, text in INSTRUCTIONS if name == "FROM"]
        assert images == ["python:${PYTHON_VERSION}-slim"] * 2
        assert ("ARG", "PYTHON_VERSION=3.12") in INSTRUCTIONS

    def test_the_program_is_not_root(self) -> None:
        """By number, after everything that has to be root."""
        assert arguments_of("USER") == ["10001:10001"]
        names = [name for name, _ in LAST_STAGE]
        assert not {"RUN", "COPY"} & set(names[names.index("USER") :])

    @pytest.mark.parametrize("instruction", ["ENTRYPOINT", "HEALTHCHECK"])
    def test_programs_are_executed_without_a_shell(self, instruction: str) -> None:
        (text,) = arguments_of(instruction)
        (program,) = json.loads(text[text.index("[") :])
        assert os.access(DOCKER / program, os.X_OK)
        assert not arguments_of("CMD")

    def test_only_the_port_of_clients_is_exposed(self) -> None:
        assert arguments_of("EXPOSE") == ["7999"]
        assert not [text for name, text in INSTRUCTIONS if "0.0.0.0" in text]

    def test_what_is_copied_is_there_and_not_ignored(self) -> None:
        rules = (DOCKER / "Dockerfile.dockerignore").read_text().splitlines()
        copied = [
            source
            for name, text in INSTRUCTIONS
            if name == "COPY" and "--from" not in text
            for source in [word for word in text.split() if not word.startswith("--")][:-1]
        ]
        assert "src" in copied
        for source in copied:
            assert (PROJECT / source).exists()
            assert any(f"!{parent}" in rules for parent in (source, *map(str, Path(source).parents)))
        assert rules[0] == "*"

    def test_variables_set_something(self) -> None:
        """So that none of them is warned about at every start."""
        from holdfast.config.table import variables

        names = re.findall(r"\b(HOLDFAST_\w+)=", " ".join(arguments_of("ENV")))
        assert names == ["HOLDFAST_GLOBAL_RUNDIR"]
        assert set(names) <= set(variables())
