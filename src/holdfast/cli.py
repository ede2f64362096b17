"""The command line of `holdfast`: arguments and environment -> settings (routes spec §2.6, §2.7).

Invariants: the environment is read here and nowhere deeper; nothing of the server is imported before it is started, so
that `--help` and the subcommands stay quick.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

from holdfast.cli_arguments import Parser, UsageError, report_usage_error
from holdfast.config.given import Key
from holdfast.config.listen import parse_listen
from holdfast.config.load import Overrides, Start, load_settings
from holdfast.config.log_levels import parse_log_levels
from holdfast.config.resolve import InvalidConfig
from holdfast.errors import ConfigError

PROG = "holdfast"
NOTIFY_VARIABLE = "NOTIFY_SOCKET"
"""Where systemd and others like it want to be told when the server is ready: sd_notify(3)."""

_DESCRIPTION = "A reverse proxy that adds realtime push to any HTTP backend, speaking the GRIP protocol."
_EPILOG = """\
commands:
  holdfast publish CHANNEL [CONTENT]   publish to a running server
  holdfast check [URL]...              validate configuration and routes, explain where a URL goes
  holdfast options [NAME]...           show what can be set, and what it means
  holdfast demo                        show a page that receives messages live

Every setting of the file can also be given as environment variable HOLDFAST_SECTION_KEY.
"""
_VERBOSE_LEVEL = "3"
_MAX_ID_DIGITS = 9


def main(argv: Sequence[str] | None = None, environ: Mapping[str, str] | None = None) -> int:
    """Run the program with the given arguments, those of the process by default, and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    variables = os.environ if environ is None else environ
    command = _COMMANDS.get(arguments[0]) if arguments else None
    if command is not None:
        return command(arguments[1:], variables)
    return _serve(arguments, variables)


def _publish(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    from holdfast import cli_publish

    return cli_publish.run(argv, f"{PROG} publish", environ)


def _check(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    from holdfast import cli_check

    return cli_check.run(argv, f"{PROG} check", environ)


def _options(argv: Sequence[str], _environ: Mapping[str, str]) -> int:
    from holdfast import cli_options

    return cli_options.run(argv, f"{PROG} options", all_parsers)


def _demo(argv: Sequence[str], _environ: Mapping[str, str]) -> int:
    from holdfast.demo import main as demo

    return demo.run(argv)


_COMMANDS: Mapping[str, Callable[[Sequence[str], Mapping[str, str]], int]] = {
    "publish": _publish,
    "check": _check,
    "options": _options,
    "demo": _demo,
}


def _serve(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    parser = make_parser()
    try:
        arguments = parser.parse_args(argv)
        _refuse_words(arguments.words)
        values = override_values(arguments)
    except UsageError as exc:
        report_usage_error(parser, exc)
        return 1
    except SystemExit as exc:  # after --help and --version
        return int(exc.code or 0)
    overrides = Overrides(values=values, needs_file=arguments.route is None)
    try:
        loaded = load_settings(arguments.config, environ=environ, overrides=overrides)
    except ConfigError as exc:
        report_config_error(exc)
        return 1
    from holdfast.supervisor import serve

    return serve(
        Start(
            loaded,
            route_lines=None if arguments.route is None else tuple(arguments.route),
            log_file=None if arguments.logfile is None else Path(arguments.logfile),
            notify_socket=environ.get(NOTIFY_VARIABLE),
        )
    )


def make_parser() -> Parser:
    """The parser of the server's command line."""
    parser = Parser(PROG, _DESCRIPTION, _EPILOG)
    parser.add_version("-v", "--version")
    parser.add_argument("--config", metavar="FILE", help="configuration file")
    parser.add_argument("--logfile", metavar="FILE", help="append the log to FILE instead of standard output")
    parser.add_argument("--loglevel", metavar="X", help="N or N,NAME:N,...: 0 errors to 4 trace (default: 2)")
    parser.add_argument("--verbose", action="store_true", help="same as --loglevel=3")
    parser.add_argument("-m", "--merge-output", action="store_true", help="accepted; there is only one output")
    parser.add_argument("--port", metavar="[ADDR:]PORT", help="accept clients there only")
    parser.add_argument("--id", metavar="N", help="instance number: moves control ports by 10*N, prefixes sockets")
    parser.add_argument("--route", metavar="LINE", action="append", help="add a route; replaces the routes file")
    parser.add_argument("words", nargs="*", help=argparse.SUPPRESS)
    return parser


def all_parsers() -> list[argparse.ArgumentParser]:
    """The parsers of all command lines, the server's first."""
    from holdfast import cli_check, cli_options, cli_publish
    from holdfast.demo import main as demo

    return [
        make_parser(),
        cli_publish.make_parser(f"{PROG} publish"),
        cli_check.make_parser(f"{PROG} check"),
        cli_options.make_parser(f"{PROG} options"),
        demo.make_parser(),
    ]


def override_values(arguments: argparse.Namespace) -> dict[Key, str]:
    """The settings that the command line states.

    Raises:
        UsageError: a value is wrong; with the texts of routes spec §2.6.
    """
    values: dict[Key, str] = {}
    if arguments.port is not None:
        _check_port(arguments.port)
        values |= {
            ("runner", "http_port"): arguments.port,
            ("runner", "https_ports"): "",
            ("runner", "local_ports"): "",
        }
    if arguments.id is not None:
        number = _parse_id(arguments.id)
        values |= {("global", "ipc_prefix"): f"p{number}-", ("global", "port_offset"): str(number * 10)}
    if arguments.verbose:
        values["runner", "log_level"] = _VERBOSE_LEVEL
    elif arguments.loglevel is not None:
        _check_log_level(arguments.loglevel)
        values["runner", "log_level"] = arguments.loglevel
    return values


def report_config_error(error: ConfigError) -> None:
    """Print what is wrong with a configuration, and what else was noticed about it."""
    if isinstance(error, InvalidConfig):
        for text in error.warnings:
            print(f"warning: {text}", file=sys.stderr)
    for line in str(error).splitlines():
        print(f"error: {line}", file=sys.stderr)


def _refuse_words(words: Sequence[str]) -> None:
    if not words:
        return
    close = get_close_matches(words[0], list(_COMMANDS), n=1)
    raise UsageError(f"unknown command {words[0]}{f'; did you mean {close[0]}?' if close else ''}")


def _check_port(text: str) -> None:
    try:
        parse_listen(text)
    except ValueError as exc:
        number = text.rpartition(":")[2]
        is_low = not (number.isascii() and number.isdigit() and number.strip("0"))
        raise UsageError("port must be greater than or equal to 1" if is_low else str(exc)) from exc


def _parse_id(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise UsageError("id must be greater than or equal to 0")
    if len(text) > _MAX_ID_DIGITS:
        raise UsageError(f"id must have at most {_MAX_ID_DIGITS} digits")
    return int(text)


def _check_log_level(text: str) -> None:
    try:
        parse_log_levels(text.split(","))
    except ValueError as exc:
        raise UsageError(str(exc)) from exc
