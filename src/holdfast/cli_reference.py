"""The reference page `docs/options.md`, written from the settings, routes and command lines as they are."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Mapping, Sequence

from holdfast.config.load import SEARCH_PATHS
from holdfast.config.options import Option, Status
from holdfast.config.reference import describe_default, describe_status, describe_value, is_internal
from holdfast.config.table import OPTIONS, SECTIONS
from holdfast.routing.params import CONDITION_PARAMETERS, TARGET_FORMS, TARGET_PARAMETERS, Parameter
from holdfast.routing.parse import UNSUPPORTED_CONDITION_PROPS

COMMAND = "holdfast options --markdown"

_SEARCHED = ", ".join(f"`{path}`" for path in SEARCH_PATHS)
_HEAD = f"""\
# Everything that can be set

This page is what `{COMMAND}` prints; `holdfast options NAME` shows the part that has NAME in its name.

## Where settings come from
The configuration file is the one that `--config` names, else the first of
{_SEARCHED} that is there; with `--route` none is needed.
The command line beats the environment, the environment beats the file, and the file beats the one that its `include`
names. Each setting has an environment variable, `HOLDFAST_<SECTION>_<KEY>`; for those of `[holdfast]` the short form
`HOLDFAST_<KEY>` does, too.

The file is read as Pushpin reads it:

- A line is `key=value` below a `[section]`. `;` and `#` begin a comment at the start of a line, and an unquoted `;`
  does so anywhere.
- Commas make a list; a text with commas goes into double quotes. A list where one text is expected counts as empty.
- A boolean is false if it is empty, `0` or `false`; everything else is true, `no` and `off` too (a warning says so).
- `{{libdir}}`, `{{rundir}}` and `{{ipc_prefix}}` stand for the settings of these names.

What is misspelled is named in the log; a wrong value is named with file and line, and stops the start. `holdfast check`
tells both without starting. Settings are read at the start: SIGHUP opens the log file anew and reads the routes,
nothing else.

Each setting is followed by how its value is written, the default, and the variable. The default is the value in the
file that Pushpin ships, which also holds without any file; where a file that does not state the setting means
something else, that is said.
"""

_NOT_HERE = """\
## Settings of Pushpin that do not work here
"Ignored" is without a word, since nothing is missing without them. What would be missed is refused, or named in the
log.
"""

_INTERNAL = """\
### Sockets inside of Pushpin
These connect Pushpin's processes with each other. Holdfast is one process and ignores them:
"""

_ROUTES = """\
## The routes file
`routesfile` names it. A line is a host, and one or more targets, which are tried from left to right until one can be
reached:

```text
HOST[,PARAMETER...] TARGET[,PARAMETER...] [TARGET[,PARAMETER...]]...
```

Only the space separates; `#` begins a comment. Double quotes protect spaces, commas and `#`. HOST is compared with the
whole host of a request, without the port; `*` is for all hosts that have no line of their own, and an empty HOST for
requests that name the route by its `id` (`accept_pushpin_route`). Of several lines for a host one with `proto` wins,
then the longest `path_beg`; `holdfast check URL` tells which one it is. A wrong line is left out and named in the log.
The file is watched: a change is in force about a second later.
"""

_COMMAND_LINES = """\
## Command lines
The server exits with 0 when it was asked to stop (SIGTERM, SIGINT), and with 1 when it could not start. `check` exits
with 1 if something is wrong or a URL has no route; `publish` with 1 if nothing was published and 2 for wrong usage;
`options` with 1 if nothing has such a name.
"""


def reference_page(parsers: Iterable[argparse.ArgumentParser]) -> str:
    """The page, in Markdown; `parsers` are those of all command lines."""
    return "\n".join((_HEAD, *map(_section, SECTIONS), *_not_here(), *_routes_file(), *_command_lines(parsers)))


def _section(section: str) -> str:
    purpose = _purpose(section)
    entries = (_entry(option) for option in _in_section(section) if option.status is Status.SUPPORTED)
    return "\n".join((f"## [{section}]", f"{purpose}\n", *entries))


def _purpose(section: str) -> str:
    """What the class of a section says of itself, after its name."""
    text = (SECTIONS[section].__doc__ or "").partition(": ")[2]
    return text[:1].upper() + text[1:]


def _in_section(section: str) -> Iterator[Option]:
    return (option for option in OPTIONS.values() if option.section == section)


def _entry(option: Option) -> str:
    return (
        f"### `{option.name}`\n{option.help}\n\n"
        f"*{describe_value(option)} · default: {describe_default(option)} · `{option.variable}`*\n"
    )


def _not_here() -> Iterator[str]:
    """The settings of Pushpin that do not work."""
    others = [option for option in OPTIONS.values() if option.status is not Status.SUPPORTED]
    rows = [(f"`{option.path}`", option.help, describe_status(option)) for option in others if not is_internal(option)]
    yield _NOT_HERE
    yield _table(("setting", "meaning", "status"), rows)
    yield _INTERNAL
    for section in SECTIONS:
        names = [f"`{option.name}`" for option in _in_section(section) if is_internal(option)]
        if names:
            yield f"- `[{section}]`: {', '.join(names)}"
    yield ""


def _routes_file() -> Iterator[str]:
    yield _ROUTES
    yield "### Parameters after a host\n"
    yield _parameters(CONDITION_PARAMETERS)
    yield "### Targets\n"
    yield _table(("target", "meaning"), ((f"`{target.form}`", target.help) for target in TARGET_FORMS))
    yield "### Parameters after a target\n"
    yield _parameters(TARGET_PARAMETERS)


def _parameters(parameters: Iterable[Parameter]) -> str:
    rows = (
        (
            f"`{parameter.name}`",
            parameter.form or "flag",
            parameter.default or ("" if parameter.form else "off"),
            parameter.help,
            "refused: not supported yet" if parameter.name in UNSUPPORTED_CONDITION_PROPS else "works",
        )
        for parameter in parameters
    )
    return _table(("parameter", "value", "default", "meaning", "status"), rows)


def _command_lines(parsers: Iterable[argparse.ArgumentParser]) -> Iterator[str]:
    yield _COMMAND_LINES
    for parser in parsers:
        yield f"### `{parser.prog}`\n{parser.description}\n"
        yield _table(("argument", "meaning"), _arguments(parser))


def _arguments(parser: argparse.ArgumentParser) -> Iterator[tuple[str, str]]:
    for action in parser._actions:  # argparse has no other way to ask what a parser knows
        if action.help and action.help is not argparse.SUPPRESS:
            yield _invocation(action), _expanded(action)


def _invocation(action: argparse.Action) -> str:
    value = str(action.metavar or action.dest.upper())
    if not action.option_strings:
        return f"`{value}`" if action.nargs is None else f"`[{value}]{'...' if action.nargs == '*' else ''}`"
    takes_value = action.nargs != 0
    return ", ".join(f"`{flag} {value}`" if takes_value else f"`{flag}`" for flag in action.option_strings)


def _expanded(action: argparse.Action) -> str:
    values: Mapping[str, object] = {"default": action.default}
    return (action.help or "") % values


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |\n" for row in lines)
