"""Routes for tests, written as in the file."""

from __future__ import annotations

from holdfast.errors import KeyMaterialError
from holdfast.grip.signature import Key
from holdfast.routing.parse import RouteDefaults, RouteProblem, parse_routes
from holdfast.routing.rules import Rule
from holdfast.routing.table import RouteTable
from holdfast.wire.identity import ClientIdentity
from holdfast.wire.jwt import Algorithm

KEY = Key(Algorithm.HS256, b"changeme")


def read_nothing(path: str) -> bytes:
    raise FileNotFoundError(2, "No such file or directory", path)


def check_identity(identity: ClientIdentity) -> None:
    """Good are those whose key, if it is a file of its own, ends like the certificate."""
    if not identity.certificate:
        raise KeyMaterialError("no certificate")
    if identity.key is not None and identity.key[-1:] != identity.certificate[-1:]:
        raise KeyMaterialError("no pair")


def make_defaults(
    *,
    sig_iss: str = "pushpin",
    sig_key: Key | None = KEY,
    debug: bool = False,
    cross_origin: bool = False,
    files: dict[str, bytes] | None = None,
) -> RouteDefaults:
    def read_file(path: str) -> bytes:
        return files[path] if files and path in files else read_nothing(path)

    return RouteDefaults(
        sig_iss=sig_iss,
        sig_key=sig_key,
        debug=debug,
        keys_dir="/etc/holdfast",
        read_file=read_file,
        check_identity=check_identity,
        cross_origin=cross_origin,
    )


def load(text: str, defaults: RouteDefaults | None = None) -> tuple[RouteTable, list[str]]:
    """The table, and the problems as they are logged."""
    table, problems = parse_routes(text, "routes", defaults or make_defaults())
    return table, [str(problem) for problem in problems]


def load_raw(text: str, defaults: RouteDefaults | None = None) -> tuple[RouteTable, list[RouteProblem]]:
    return parse_routes(text, "routes", defaults or make_defaults())


def make_table(text: str) -> RouteTable:
    """The table of a text in which every line is accepted."""
    table, problems = load(text)
    assert problems == []
    return table


def make_rule(line: str, defaults: RouteDefaults | None = None) -> Rule:
    """The rule of one accepted line."""
    table, problems = load(line, defaults)
    assert problems == []
    (rule,) = table
    return rule
