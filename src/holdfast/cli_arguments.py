"""An argument parser that reports errors in the way of Pushpin's programs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from holdfast import __version__


class UsageError(Exception):
    """The command line is wrong; the text says how."""


class Parser(argparse.ArgumentParser):
    """Raises `UsageError` where argparse would print and exit; long options cannot be abbreviated."""

    def __init__(self, prog: str, description: str, epilog: str | None = None) -> None:
        super().__init__(
            prog=prog,
            description=description,
            epilog=epilog,
            allow_abbrev=False,
            add_help=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        self.add_argument("-h", "--help", action="help", help="show this help and exit")

    def error(self, message: str) -> NoReturn:
        """See `argparse.ArgumentParser`."""
        raise UsageError(message)

    def add_version(self, *flags: str) -> None:
        """Let `flags` print the version and exit."""
        self.add_argument(*flags, action="version", version=f"{self.prog} {__version__}", help="show the version")


def report_usage_error(parser: argparse.ArgumentParser, error: UsageError) -> None:
    """Print the error and the usage (routes spec §2.6)."""
    print(f"error: {error}\n\n{parser.format_help()}", end="", file=sys.stderr)


def parse_or_report(parser: Parser, argv: Sequence[str], usage_exit_code: int = 1) -> argparse.Namespace | int:
    """What `argv` says, or the exit code if there is nothing left to do: it is wrong, or asks for help."""
    try:
        return parser.parse_args(argv)
    except UsageError as exc:
        report_usage_error(parser, exc)
        return usage_exit_code
    except SystemExit as exc:  # after --help and --version
        return int(exc.code or 0)
