"""Loading the configuration: find the file, read it with its include, and resolve it with environment and arguments.

Invariants: the only module of this package that touches files; the environment comes as an argument. The precedence is
command line, environment, file, included file, default.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from holdfast.config.given import (
    Given,
    Key,
    Note,
    given_by_arguments,
    given_by_environment,
    given_by_file,
    use_old_rundir,
    warnings_of,
)
from holdfast.config.ini import parse_ini
from holdfast.config.resolve import global_text, resolve
from holdfast.config.settings import Settings
from holdfast.errors import ConfigError

SEARCH_PATHS = (
    "config/pushpin.conf",
    "pushpin.conf",
    "examples/config/pushpin.conf",
    "/etc/holdfast/holdfast.conf",
    "/etc/pushpin/pushpin.conf",
)
"""Where a configuration file is looked for, from the working directory (routes spec §2.1); one place is ours."""

_INTERNAL_INCLUDE = "internal.conf"


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration.

    Attributes:
        notes: what to log at the start.
        config_path: the file it came from, None if there is none.
        base_dir: where relative paths of the configuration start: the file's directory, else the working directory.
    """

    settings: Settings
    notes: tuple[Note, ...]
    config_path: Path | None
    base_dir: Path

    @property
    def warnings(self) -> tuple[str, ...]:
        """The texts of the notes that matter to a person."""
        return warnings_of(self.notes)

    @property
    def routes_path(self) -> Path:
        """The routes file."""
        return self.base_dir / self.settings.proxy.routesfile

    @property
    def certificates_path(self) -> Path:
        """The directory of certificates for TLS clients."""
        return self.base_dir / "runner" / "certs"


@dataclass(frozen=True, slots=True)
class Start:
    """All that a server is started with.

    Attributes:
        route_lines: routes that replace the routes file, None to read the file.
        log_file: file to append log lines to, None for standard output.
        notify_socket: where a service manager wants to be told how things stand; None for nowhere.
    """

    loaded: Loaded
    route_lines: tuple[str, ...] | None = None
    log_file: Path | None = None
    notify_socket: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """What the command line states about settings.

    Attributes:
        values: by section and key, written as in an environment variable.
        needs_file: whether it is an error that there is no configuration file.
    """

    values: Mapping[Key, str] = field(default_factory=dict)
    needs_file: bool = True


def load_settings(
    path: str | None, *, environ: Mapping[str, str], overrides: Overrides, search: tuple[str, ...] = SEARCH_PATHS
) -> Loaded:
    """The configuration in the file `path`, or in the first of `search` that is a file.

    Raises:
        ConfigError: there is no file, or it cannot be read.
        InvalidConfig: it is not valid; with all problems.
    """
    config_path = _find(path, search, needs_file=overrides.needs_file)
    notes = [] if config_path is None else [Note(logging.INFO, f"using config: {config_path}")]
    stated = given_by_environment(environ, notes) | given_by_arguments(overrides.values)
    given = stated if config_path is None else _given_by_files(config_path, stated, notes)
    has_file = config_path is not None
    settings = resolve(given, has_file=has_file, notes=notes)
    base_dir = config_path.absolute().parent if config_path is not None else Path.cwd()
    return Loaded(settings, tuple(notes), config_path, base_dir)


def _find(path: str | None, search: tuple[str, ...], *, needs_file: bool) -> Path | None:
    tried = search if path is None else (path,)
    for candidate in map(Path, tried):
        if candidate.is_file():
            return candidate
    if path is not None or needs_file:
        raise ConfigError(f"no configuration file found. Tried: {' '.join(tried)}")
    return None


def _given_by_files(path: Path, stated: dict[Key, Given], notes: list[Note]) -> dict[Key, Given]:
    """What the file, its include, and then `stated` say, each beating the one before it."""
    given = given_by_file(parse_ini(_read(path), str(path)), notes)
    use_old_rundir(given, notes)
    include = _include_path(path, given | stated)
    if include is None:
        return given | stated
    if include.is_file():
        included = given_by_file(parse_ini(_read(include), str(include)), notes)
        return included | given | stated
    if include.name != _INTERNAL_INCLUDE:
        notes.append(Note(logging.WARNING, f"included file {include} does not exist"))
    return given | stated


def _include_path(path: Path, given: Mapping[Key, Given]) -> Path | None:
    text = global_text(given, "include", has_file=True)
    if not text:
        return None
    if text == _INTERNAL_INCLUDE:
        text = f"{{libdir}}/{_INTERNAL_INCLUDE}"
    return path.parent / text.replace("{libdir}", global_text(given, "libdir", has_file=True))


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as exc:
        raise ConfigError(f"cannot read {path}: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise ConfigError(f"cannot read {path}: byte {exc.start} is not UTF-8") from exc
