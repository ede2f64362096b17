"""The argument parser of all programs."""

from __future__ import annotations

import pytest

from holdfast import __version__
from holdfast.cli_arguments import Parser, UsageError, parse_or_report, report_usage_error


def make() -> Parser:
    parser = Parser("prog", "Does things.")
    parser.add_version("-V", "--version")
    parser.add_argument("--verbose", action="store_true")
    return parser


@pytest.mark.parametrize("argv", [["--verb"], ["--nonsense"], ["extra"]])
def test_errors_are_raised_and_nothing_is_printed(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match="unrecognized arguments"):
        make().parse_args(argv)
    assert capsys.readouterr() == ("", "")


def test_help_and_version_end_well(capsys: pytest.CaptureFixture[str]) -> None:
    for argv, text in ((["-h"], "Does things."), (["-V"], f"prog {__version__}\n")):
        with pytest.raises(SystemExit) as caught:
            make().parse_args(argv)
        assert caught.value.code == 0
        assert text in capsys.readouterr().out


def test_report(capsys: pytest.CaptureFixture[str]) -> None:
    report_usage_error(make(), UsageError("no"))
    assert capsys.readouterr().err.startswith("error: no\n\nusage: prog ")


def test_what_is_said_or_an_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = parse_or_report(make(), ["--verbose"])
    assert not isinstance(arguments, int)
    assert arguments.verbose
    assert parse_or_report(make(), ["-h"], 2) == 0
    assert capsys.readouterr().err == ""
    assert [parse_or_report(make(), ["--no"]), parse_or_report(make(), ["--no"], 2)] == [1, 2]
    assert capsys.readouterr().err.startswith("error: unrecognized arguments: --no\n\nusage: prog ")
