"""The routes file: its lines as a table, and what is wrong with the others (routes spec §1.1, §1.6).

Invariants: a wrong line is left out and reported, every other line takes effect; an option whose machinery this version
lacks is reported by name and never silently without effect.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from holdfast.errors import KeyMaterialError, RouteError
from holdfast.grip.signature import Key, Signer, parse_key
from holdfast.routing.conditions import parse_rule
from holdfast.routing.identities import has_lonely_key, read_identity
from holdfast.routing.lines import Section, parse_line
from holdfast.routing.rules import Proto, Rule, Target
from holdfast.routing.table import RouteTable
from holdfast.wire.identity import ClientIdentity

UNSUPPORTED_CONDITION_PROPS = frozenset({"session"})
"""Known, and not there yet: a line that uses one of these is refused."""

COMMAND_LINE_NAME = "<route>"
"""The file name that lines from the command line are reported under."""


class ProblemKind(Enum):
    """What a problem did to its line."""

    REFUSED = "refused"
    DUPLICATE = "duplicate"
    ADJUSTED = "adjusted"  # the line is in force, though not quite as written


@dataclass(frozen=True, slots=True)
class RouteProblem:
    """Something wrong with one line; its `str` is the text for the log."""

    name: str
    line: int
    text: str
    kind: ProblemKind = ProblemKind.REFUSED

    def __str__(self) -> str:
        # Compat: Pushpin has no colon after the line number here, and people grep for it.
        separator = " " if self.kind is ProblemKind.DUPLICATE else ": "
        return f"{self.name}:{self.line}{separator}{self.text}"


@dataclass(frozen=True, slots=True)
class RouteDefaults:
    """What holds where a line says nothing, and how to read the key files that lines name.

    Attributes:
        sig_iss: issuer of Grip-Sig; "" for none.
        sig_key: key of Grip-Sig, None for none.
        debug: whether every rule answers errors with details.
        cross_origin: whether every rule serves scripts of other origins.
        keys_dir: directory that relative key files of a line start from, that of the routes file.
        read_file: gives the content of a file; may raise OSError.
        check_identity: whether a client certificate and its key can be used; may raise KeyMaterialError.
    """

    sig_iss: str
    sig_key: Key | None
    debug: bool
    cross_origin: bool
    keys_dir: str
    read_file: Callable[[str], bytes]
    check_identity: Callable[[ClientIdentity], None]


def parse_routes(text: str, name: str, defaults: RouteDefaults) -> tuple[RouteTable, list[RouteProblem]]:
    """The table of a routes file, and its problems in order; `name` is the file's name in those.

    Bytes that are not UTF-8 may come as lone surrogates ("surrogateescape"): only their line is refused then.
    """
    return _read_lines(enumerate(text.split("\n"), 1), name, defaults)


def parse_route_lines(lines: Sequence[str], defaults: RouteDefaults) -> tuple[RouteTable, list[RouteProblem]]:
    """The table of routes given one by one on the command line; each is line 1 of `<route>`."""
    return _read_lines(((1, line) for line in lines), COMMAND_LINE_NAME, defaults)


def _read_lines(
    numbered: Iterable[tuple[int, str]], name: str, defaults: RouteDefaults
) -> tuple[RouteTable, list[RouteProblem]]:
    reader = _Reader(name, defaults)
    for number, line in numbered:
        reader.read(number, line.removesuffix("\r"))
    return RouteTable(reader.rules), reader.problems


class _Reader:
    """Collects rules and problems while the lines go by."""

    def __init__(self, name: str, defaults: RouteDefaults) -> None:
        self.rules: list[Rule] = []
        self.problems: list[RouteProblem] = []
        self._name = name
        self._defaults = defaults
        self._conditions: set[tuple[str, bool, Proto | None, bool | None, bytes | None]] = set()
        # By the texts of issuer and key: rules that sign alike share one signer, and so its token of this second.
        self._signers: dict[tuple[str, str], Signer | None] = {}

    def read(self, number: int, line: str) -> None:
        try:
            sections = parse_line(line)
            if sections is None:
                return
            _refuse_undecodable(sections)
            rule = parse_rule(
                sections,
                f"{self._name}:{number}",
                is_debug=self._defaults.debug,
                is_cross_origin=self._defaults.cross_origin,
            )
            _refuse_props(sections[0], UNSUPPORTED_CONDITION_PROPS)
            targets = [
                self._with_identity(target, section) for target, section in zip(rule.targets, sections[1:], strict=True)
            ]
        except RouteError as exc:
            self._report(number, str(exc), ProblemKind.REFUSED)
            return
        if self._is_duplicate(rule):
            self._report(number, "skipping duplicate condition", ProblemKind.DUPLICATE)
            return
        for section in sections[1:]:
            if has_lonely_key(section):
                self._report(
                    number, f"{section.value}: client_key without client_cert is ignored", ProblemKind.ADJUSTED
                )
        signer = self._signer(number, dict(sections[0].props))
        self.rules.append(replace(rule, sig=signer, targets=tuple(targets)))

    def _with_identity(self, target: Target, section: Section) -> Target:
        """The target of a section with the certificate that it names. Raises RouteError."""
        identity = read_identity(section, self._defaults.read_file, self._defaults.check_identity)
        return target if identity is None else replace(target, identity=identity)

    def _is_duplicate(self, rule: Rule) -> bool:
        # Ids play no part, except for rules without a domain, which nothing else tells apart.
        condition = (rule.domain or rule.id, bool(rule.domain), rule.proto, rule.ssl, rule.path_beg)
        if condition in self._conditions:
            return True
        self._conditions.add(condition)
        return False

    def _signer(self, number: int, texts: Mapping[str, str]) -> Signer | None:
        """The signer for the props of a condition; an empty text means the default, each on its own."""
        issuer = texts.get("sig_iss") or self._defaults.sig_iss
        key_text = texts.get("sig_key", "")
        if (issuer, key_text) not in self._signers:
            key = self._key(number, key_text)
            self._signers[issuer, key_text] = Signer(issuer, key) if issuer and key else None
        return self._signers[issuer, key_text]

    def _key(self, number: int, text: str) -> Key | None:
        try:
            return parse_key(text, self._defaults.keys_dir, self._defaults.read_file) or self._defaults.sig_key
        except KeyMaterialError as exc:
            self._report(number, f"sig_key not used, the default is: {exc}", ProblemKind.ADJUSTED)
            return self._defaults.sig_key

    def _report(self, number: int, text: str, kind: ProblemKind) -> None:
        # The text may quote a character of the line, and a log must be able to write it.
        printable = text.encode(errors="backslashreplace").decode()
        self.problems.append(RouteProblem(self._name, number, printable, kind))


def _refuse_undecodable(sections: list[Section]) -> None:
    """Raise RouteError if bytes that are not UTF-8 came through as lone surrogates, outside of a comment."""
    tokens = [token for section in sections for pair in [(section.value,), *section.props] for token in pair]
    try:
        "".join(tokens).encode()
    except UnicodeEncodeError as exc:
        raise RouteError("not valid UTF-8") from exc


def _refuse_props(section: Section, unsupported: frozenset[str]) -> None:
    """Raise RouteError for the first option that this version has no machinery for."""
    for name, _ in section.props:
        if name in unsupported:
            raise RouteError(f"option {name} is not supported yet")
