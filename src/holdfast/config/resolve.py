"""Stated values -> settings: each is parsed, and everything that is wrong is found at once.

Invariants: pure; either settings come out or one error with every problem. What a configuration
asks for and does not get is refused or noted, by the rule of its option.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from typing import Any

from holdfast.config import kinds
from holdfast.config.exposure import exposure_notes
from holdfast.config.given import Given, Key, Note, substitute, warnings_of
from holdfast.config.kinds import Items
from holdfast.config.listen import MAX_PORT
from holdfast.config.options import Later, Option, Status
from holdfast.config.settings import Settings
from holdfast.config.table import OPTIONS, SECTIONS
from holdfast.config.unsupported import INTERNAL
from holdfast.errors import ConfigError

# Compat: what every shipped pushpin.conf says, so nobody chose it; Pushpin loses deliveries at this pace.
SHIPPED_MESSAGE_RATE = 2500
SHIPPED_MESSAGE_HWM = 25000


class InvalidConfig(ConfigError):
    """A configuration was read and is not valid.

    Attributes:
        problems: why not; the text of the exception is these, one a line.
        notes: what was noticed besides.
    """

    def __init__(self, problems: Sequence[str], notes: Sequence[Note]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)
        self.notes = tuple(notes)

    @property
    def warnings(self) -> tuple[str, ...]:
        """The texts of the notes that matter to a person."""
        return warnings_of(self.notes)


def resolve(given: Mapping[Key, Given], *, has_file: bool, notes: list[Note]) -> Settings:
    """The settings that `given` comes to.

    Args:
        has_file: whether there is a file, and so whether a key that nobody states has Pushpin's "if absent" value or
            the shipped one.
        notes: what to log at the start is added here.

    Raises:
        InvalidConfig: with every problem, in the order of the table.
    """
    names = {name: global_text(given, name, has_file=has_file) for name in ("libdir", "rundir", "ipc_prefix")}
    offset = int(global_text(given, "port_offset", has_file=has_file))
    resolver = _Resolver(substitute(given, names, offset), has_file, notes)
    settings = resolver.with_port_offset(_without_shipped_limits(resolver.settings(), notes))
    if not _has_client_ports(settings, resolver.refused):
        resolver.problems.append("no server ports configured")
    if resolver.problems:
        raise InvalidConfig(resolver.problems, notes)
    notes += exposure_notes(settings)
    return settings


def _has_client_ports(settings: Settings, refused: Set[str]) -> bool:
    """Whether clients can connect, or somebody who wanted them to has been told what is wrong."""
    runner = settings.runner
    asked_for = {"runner/http_port", "runner/https_ports", "runner/local_ports"} & refused
    return bool(runner.http_port or runner.https_ports or runner.local_ports or asked_for)


def global_text(given: Mapping[Key, Given], name: str, *, has_file: bool) -> str:
    """The value of a setting of `[global]` that others depend on, as text; its default where it is not valid."""
    option = OPTIONS["global", name]
    stated = given.get(option.key)
    default = option.default(has_file=has_file)
    if stated is None:
        return str(default)
    try:
        return str(option.kind.parse(_texts(option, stated)))
    except ValueError:
        return str(default)  # reported together with all others


def _texts(option: Option, given: Given) -> Items:
    """Compat: a list where one text is expected counts as empty (routes spec §2.2)."""
    return given.items if option.kind.is_list or len(given.items) == 1 else ("",)


def _is_utf8(texts: Items) -> bool:
    """Whether no byte of a variable or an argument came through as a lone surrogate; a path may have some."""
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        return False
    return True


class _Resolver:
    """Parses values and collects what is wrong with them."""

    def __init__(self, given: Mapping[Key, Given], has_file: bool, notes: list[Note]) -> None:
        self.problems: list[str] = []
        self.refused: set[str] = set()
        self._given = given
        self._has_file = has_file
        self._notes = notes

    def settings(self) -> Settings:
        values: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
        for option in OPTIONS.values():
            given = self._given.get(option.key)
            if option.status is Status.SUPPORTED:
                values[option.section][option.name] = self._value(option, given)
            elif given is not None:
                self._judge(option, given)
        sections = {section: settings(**values[section]) for section, settings in SECTIONS.items()}
        return Settings(global_=sections.pop("global"), **sections)

    def with_port_offset(self, settings: Settings) -> Settings:
        """`push_in_http_port` moved by `port_offset`; the ports of clients do not move (routes spec §2.3)."""
        port = settings.handler.push_in_http_port
        if port is None:
            return settings
        moved = port + settings.global_.port_offset
        if moved > MAX_PORT:
            self.problems.append(f"handler/push_in_http_port {port} plus port_offset is {moved}, more than {MAX_PORT}")
        return replace(settings, handler=replace(settings.handler, push_in_http_port=moved))

    def _value(self, option: Option, given: Given | None) -> Any:
        if given is None:
            return option.default(has_file=self._has_file)
        texts = _texts(option, given)
        if texts is not given.items:
            text = "a list where one text is expected counts as empty; put a text with commas in double quotes"
            # An empty secret leaves a door open: that must have been meant.
            (self._refuse if option.kind is kinds.SECRET else self._warn)(option, given, text)
        if not (option.kind is kinds.PATH or _is_utf8(texts)):
            self._refuse(option, given, "not valid UTF-8")
            return option.default(has_file=self._has_file)
        try:
            value = option.kind.parse(texts)
        except ValueError as exc:
            self._refuse(option, given, str(exc))
            return option.default(has_file=self._has_file)
        advice = option.kind.advise(texts)
        if advice is not None:
            self._warn(option, given, advice)
        return value

    def _judge(self, option: Option, given: Given) -> None:
        """Refuse or note a setting that is not supported."""
        if option.status is Status.IGNORED:
            if option.reason is not INTERNAL:
                self._note(logging.DEBUG, option, given, f"ignored: {option.reason}")
            return
        value = self._value(option, given)
        if option.later is Later.WARN_IF_CHANGED:
            if value != option.default(has_file=self._has_file):
                self._warn(option, given, f"{given.text} has no effect yet: {option.reason}")
        elif value and option.later is Later.REFUSE:
            self._refuse(option, given, f"{given.text} is not supported yet: {option.reason}")
        elif value:
            self._warn(option, given, f"{given.text} is not supported yet: {option.reason}")

    def _refuse(self, option: Option, given: Given, text: str) -> None:
        self.refused.add(option.path)
        self.problems.append(f"{given.place}: {option.path}: {text}")

    def _warn(self, option: Option, given: Given, text: str) -> None:
        self._note(logging.WARNING, option, given, text)

    def _note(self, level: int, option: Option, given: Given, text: str) -> None:
        self._notes.append(Note(level, f"{given.place}: {option.path}: {text}"))


def _without_shipped_limits(settings: Settings, notes: list[Note]) -> Settings:
    handler = settings.handler
    if (handler.message_rate, handler.message_hwm) != (SHIPPED_MESSAGE_RATE, SHIPPED_MESSAGE_HWM):
        return settings
    text = (
        f"message_rate={SHIPPED_MESSAGE_RATE} and message_hwm={SHIPPED_MESSAGE_HWM} are the shipped values: "
        "not needed and not applied"
    )
    notes.append(Note(logging.INFO, text))
    return replace(settings, handler=replace(handler, message_rate=None, message_hwm=None))
