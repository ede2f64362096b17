"""The command line of `holdfast options`: what can be set, and what becomes of it."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Callable, Iterable, Sequence

from holdfast.cli_arguments import Parser, parse_or_report
from holdfast.cli_reference import reference_page
from holdfast.config.options import Option
from holdfast.config.reference import describe_default, describe_status, describe_value, is_internal
from holdfast.config.table import OPTIONS
from holdfast.routing.params import CONDITION_PARAMETERS, TARGET_PARAMETERS, Parameter
from holdfast.routing.parse import UNSUPPORTED_CONDITION_PROPS

_INDENT = "    "
_WIDTH = 100


def run(argv: Sequence[str], prog: str, parsers: Callable[[], Iterable[argparse.ArgumentParser]]) -> int:
    """Print what `argv` asks for and return the exit code: 0, or 1 for wrong usage or if nothing has such a name.

    Args:
        parsers: makes the parsers of all command lines, for the whole reference.
    """
    arguments = parse_or_report(make_parser(prog), argv)
    if isinstance(arguments, int):
        return arguments
    if arguments.markdown:
        print(reference_page(parsers()), end="")
        return 0
    entries = list(describe(arguments.names))
    print("\n\n".join(entries) or f"nothing has a name with {' or '.join(arguments.names)}")
    return 0 if entries else 1


def make_parser(prog: str) -> Parser:
    """The parser of the command line."""
    parser = Parser(prog, "Show the settings and the parameters of routes: what they mean, and what becomes of them.")
    parser.add_argument("--markdown", action="store_true", help="print the whole reference as a page in Markdown")
    parser.add_argument("names", metavar="NAME", nargs="*", help="show only what has this in its name")
    return parser


def describe(names: Sequence[str]) -> Iterable[str]:
    """The entries of everything that has one of `names` in its name; without names, of all but internal sockets."""

    def is_asked(name: str) -> bool:
        return any(asked.lower() in name for asked in names)

    for option in OPTIONS.values():
        if is_asked(option.path) or is_asked(option.variable.lower()) or not (names or is_internal(option)):
            yield describe_option(option)
    for where, parameters in (("host", CONDITION_PARAMETERS), ("target", TARGET_PARAMETERS)):
        for parameter in parameters:
            if is_asked(parameter.name) or not names:
                is_supported = parameter.name not in UNSUPPORTED_CONDITION_PROPS
                yield _describe_parameter(parameter, where, is_supported=is_supported)


def describe_option(option: Option) -> str:
    """The entry of a setting, for a terminal."""
    return _entry(
        f"[{option.section}] {option.name}",
        option.help,
        f"value: {describe_value(option)}",
        f"default: {describe_default(option)}",
        f"variable: {option.variable}",
        f"status: {describe_status(option)}",
    )


def _describe_parameter(parameter: Parameter, where: str, *, is_supported: bool) -> str:
    return _entry(
        f"routes file, after a {where}: {parameter.name}{'=' if parameter.form else ''}",
        parameter.help,
        f"value: {parameter.form or 'none, it is on by being there'}",
        f"default: {parameter.default or ('empty' if parameter.form else 'off')}",
        f"status: {'works' if is_supported else 'a line with it is refused: not supported yet'}",
    )


def _entry(title: str, *paragraphs: str) -> str:
    wrapped = (
        textwrap.fill(text, _WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT, break_on_hyphens=False)
        for text in paragraphs
    )
    return "\n".join((title, *wrapped))
