"""The command line of `holdfast options`."""

from __future__ import annotations

import pytest

from holdfast import cli, cli_options
from holdfast.cli_reference import reference_page
from holdfast.config.table import OPTIONS

Captured = pytest.CaptureFixture[str]


def show(capsys: Captured, *argv: str) -> tuple[int, str, str]:
    code = cli.main(["options", *argv], {})
    return code, *capsys.readouterr()


def test_one_setting(capsys: Captured) -> None:
    """Golden."""
    assert show(capsys, "message_wait") == (
        0,
        """\
[handler] message_wait
    How long a message that came too early waits for the one before it.
    value: whole number of at least 0, in milliseconds
    default: 5000
    variable: HOLDFAST_HANDLER_MESSAGE_WAIT
    status: works
""",
        "",
    )


def test_a_parameter_of_routes(capsys: Captured) -> None:
    """Golden; of several names each counts."""
    assert show(capsys, "path_rem", "no_grip") == (
        0,
        """\
routes file, after a host: path_rem=
    Bytes to cut off the front of the path.
    value: number
    default: 0
    status: works

routes file, after a host: no_grip
    No GRIP: no Grip headers to the backend, and its own go to the client.
    value: none, it is on by being there
    default: off
    status: works
""",
        "",
    )


def test_everything(capsys: Captured) -> None:
    """But for the sockets inside of Pushpin, which only who asks for one is told of."""
    code, out, _ = show(capsys)
    entries = out.split("\n\n")
    assert code == 0
    assert len(entries) > 100
    assert "[holdfast] stop_timeout" in out
    assert "routes file, after a target: over_http\n" in out
    assert "intreq_out_specs" not in out
    assert "[proxy] intreq_out_specs" in show(capsys, "intreq_out_specs")[1]


@pytest.mark.parametrize("name", ["HOLDFAST_RUNNER_HTTP_PORT", "runner/http_port", "HTTP_port"])
def test_names_may_be_written_in_any_way(capsys: Captured, name: str) -> None:
    assert "[runner] http_port" in show(capsys, name)[1]


def test_nothing_has_such_a_name(capsys: Captured) -> None:
    assert show(capsys, "zzz", "yyy") == (1, "nothing has a name with zzz or yyy\n", "")


def test_markdown(capsys: Captured) -> None:
    assert show(capsys, "--markdown") == (0, reference_page(cli.all_parsers()), "")


def test_wrong_usage(capsys: Captured) -> None:
    code, out, err = show(capsys, "--bad")
    assert (code, out) == (1, "")
    assert err.startswith("error: unrecognized arguments: --bad\n\nusage: holdfast options")


def test_help(capsys: Captured) -> None:
    assert show(capsys, "-h")[0] == 0


def test_an_entry_fits_a_terminal() -> None:
    assert all(
        len(line) <= 100 for option in OPTIONS.values() for line in cli_options.describe_option(option).splitlines()
    )
