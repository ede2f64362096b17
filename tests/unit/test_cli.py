"""The command line of `holdfast` (routes spec §2.6, §2.7)."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast import __version__, cli, cli_check, cli_publish, supervisor
from holdfast.config.given import Key
from holdfast.config.listen import Listen
from holdfast.config.load import Start
from holdfast.config.log_levels import LogLevels
from holdfast.demo import main as demo

CONFIG = "[runner]\nhttp_port=80\nlog_level=1\n[handler]\npush_in_http_port=5561\n"


class Recorder:
    """Stands in for the server and remembers what it was started with."""

    def __init__(self) -> None:
        self.starts: list[Start] = []

    def serve(self, start: Start) -> int:
        self.starts.append(start)
        return 7


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Recorder:
    recorder = Recorder()
    monkeypatch.setattr(supervisor, "serve", recorder.serve)
    monkeypatch.chdir(tmp_path)
    return recorder


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "p.conf"
    path.write_text(CONFIG)
    return str(path)


def start_of(recorder: Recorder, *argv: str, environ: dict[str, str] | None = None) -> Start:
    assert cli.main(argv, environ or {}) == 7
    (start,) = recorder.starts
    return start


def test_a_file_and_nothing_else(recorder: Recorder, config: str, tmp_path: Path) -> None:
    start = start_of(recorder, f"--config={config}")
    assert start.loaded.config_path == Path(config)
    assert start.loaded.base_dir == tmp_path
    assert start.loaded.settings.runner.http_port == (Listen("0.0.0.0", 80),)
    assert start.loaded.settings.runner.log_level == LogLevels(1, {})
    assert (start.route_lines, start.log_file) == (None, None)


def test_routes_alone_are_a_complete_start(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """routes-29."""
    monkeypatch.setattr("holdfast.config.load.Path.is_file", lambda _: False)  # Debian's may be installed
    start = start_of(recorder, "--route", "* localhost:8000", "--route=a.com test")
    assert start.route_lines == ("* localhost:8000", "a.com test")
    assert start.loaded.settings.runner.http_port == (Listen("0.0.0.0", 7999),)
    assert start.loaded.settings.publish_listen == Listen("127.0.0.1", 5561)


def test_the_environment_beats_the_file_and_arguments_beat_both(recorder: Recorder, config: str) -> None:
    environ = {"HOLDFAST_RUNNER_HTTP_PORT": "81", "HOLDFAST_RUNNER_LOG_LEVEL": "0", "HOLDFAST_LOG_FORMAT": "json"}
    start = start_of(recorder, "--config", config, "--loglevel=3,proxy:4", environ=environ)
    settings = start.loaded.settings
    assert settings.runner.http_port == (Listen("0.0.0.0", 81),)
    assert settings.runner.log_level == LogLevels(3, {"proxy": 4})
    assert settings.holdfast.log_format == "json"


def test_log_file_and_merged_output(recorder: Recorder, config: str) -> None:
    assert start_of(recorder, "--config", config, "-m", "--merge-output", "--logfile", "x.log").log_file == Path(
        "x.log"
    )


def test_port_replaces_all_three_settings(recorder: Recorder, tmp_path: Path) -> None:
    """routes-108."""
    path = tmp_path / "p.conf"
    path.write_text("[runner]\nhttp_port=80,81\nhttps_ports=443\nlocal_ports=/x\n")
    start = start_of(recorder, f"--config={path}", "--port=127.0.0.1:99")
    assert start.loaded.settings.runner.http_port == (Listen("127.0.0.1", 99),)


def test_id_moves_the_control_port(recorder: Recorder, config: str) -> None:
    """routes-107."""
    settings = start_of(recorder, "--config", config, "--id=3").loaded.settings
    assert settings.handler.push_in_http_port == 5591
    assert settings.global_.ipc_prefix == "p3-"
    assert settings.runner.http_port == (Listen("0.0.0.0", 80),)


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ([], {}),
        (["--verbose"], {("runner", "log_level"): "3"}),
        (["--verbose", "--loglevel=1"], {("runner", "log_level"): "3"}),
        (["--loglevel", "1"], {("runner", "log_level"): "1"}),
        (["--id", "0"], {("global", "ipc_prefix"): "p0-", ("global", "port_offset"): "0"}),
    ],
    ids=repr,
)
def test_what_arguments_state(argv: list[str], expected: dict[Key, str]) -> None:
    assert cli.override_values(cli.make_parser().parse_args(argv)) == expected


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["--port", "0"], "port must be greater than or equal to 1"),
        (["--port=abc"], "port must be greater than or equal to 1"),
        (["--port=1.2.3.4:x"], "port must be greater than or equal to 1"),
        (["--port="], "port must be greater than or equal to 1"),
        (["--port=65536"], "65536 has no port from 1 to 65535"),
        (["--id=-1"], "id must be greater than or equal to 0"),
        (["--id=x"], "id must be greater than or equal to 0"),
        (["--id=1234567890"], "id must have at most 9 digits"),
        pytest.param(["--id=" + "9" * 5000], "id must have at most 9 digits", id="endless id"),
        pytest.param(["--port=" + "9" * 5000], "9" * 5000 + " has no port from 1 to 65535", id="endless port"),
        (["--loglevel=x"], "log level must be greater than or equal to 0"),
        (["--loglevel=-1"], "log level must be greater than or equal to 0"),
        (["--loglevel=proxy:-1"], "log level for service proxy must be greater than or equal to 0"),
        (["--loglevel=2,"], "log level component cannot be empty"),
        (["--loglevel=:2"], "log level component name cannot be empty"),
        (["--foo"], "unrecognized arguments: --foo"),
        (["--conf", "x"], "unrecognized arguments: --conf"),
        (["publsh"], "unknown command publsh; did you mean publish?"),
        (["zzz"], "unknown command zzz"),
    ],
    ids=repr,
)
def test_wrong_usage(argv: list[str], text: str, recorder: Recorder, capsys: pytest.CaptureFixture[str]) -> None:
    """Golden: `error: TEXT`, an empty line, the usage, exit 1."""
    assert cli.main(argv, {}) == 1
    out, err = capsys.readouterr()
    first, empty, usage = err.split("\n")[:3]
    assert (out, first, empty) == ("", f"error: {text}", "")
    assert usage.startswith("usage: holdfast ")
    assert recorder.starts == []


@pytest.mark.parametrize(
    ("argv", "text"), [(["-v"], f"holdfast {__version__}\n"), (["--version"], f"holdfast {__version__}\n")]
)
def test_version(argv: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(argv, {}) == 0
    assert capsys.readouterr().out == text


def test_help_names_every_flag_and_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["-h"], {}) == 0
    text = capsys.readouterr().out
    flags = "--config --logfile --loglevel --verbose --merge-output --port --id --route --help --version"
    assert [flag for flag in (*flags.split(), "publish", "check", "options", "demo") if flag not in text] == []


def test_no_configuration_file(recorder: Recorder, capsys: pytest.CaptureFixture[str]) -> None:
    """routes-109."""
    assert cli.main(["--config", "/none/p.conf"], {}) == 1
    assert capsys.readouterr().err == "error: no configuration file found. Tried: /none/p.conf\n"


def test_no_ports(recorder: Recorder, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """routes-109."""
    (tmp_path / "p.conf").write_text("[proxy]\ndebgu=1\n")
    assert cli.main(["--config", "p.conf"], {}) == 1
    assert capsys.readouterr().err == (
        "warning: p.conf:2: unknown setting proxy/debgu; did you mean debug?\nerror: no server ports configured\n"
    )


@pytest.mark.parametrize(("command", "module"), [("publish", cli_publish), ("check", cli_check)])
def test_subcommands(command: str, module: object, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []

    def run(*args: object) -> int:
        calls.extend(args)
        return 5

    monkeypatch.setattr(module, "run", run)
    assert cli.main([command, "-x", "y"], {"A": "b"}) == 5
    assert calls == [["-x", "y"], f"holdfast {command}", {"A": "b"}]


def test_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "run", lambda argv: len(argv))
    assert cli.main(["demo", "a", "b"], {}) == 2


def test_the_process_gives_arguments_and_environment(
    recorder: Recorder, config: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["holdfast", "--config", config])
    monkeypatch.setenv("HOLDFAST_RUNNER_HTTP_PORT", "82")
    assert cli.main() == 7
    assert recorder.starts[0].loaded.settings.runner.http_port == (Listen("0.0.0.0", 82),)
