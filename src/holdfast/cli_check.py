"""The command line of `holdfast check`: is the configuration valid, and where does a URL go and why."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from holdfast.cli_arguments import Parser, parse_or_report
from holdfast.cli_check_certificates import check_certificates
from holdfast.cli_report import Report
from holdfast.config.derive import forward_policy, publish_verifier, route_defaults, upstream_verifier
from holdfast.config.load import Loaded, Overrides, load_settings
from holdfast.config.resolve import InvalidConfig
from holdfast.errors import ConfigError, RouteError, WireError
from holdfast.net.tls import CertificateDirectory
from holdfast.routing.forward import ForwardPolicy, build_origin_request, connect_address, origin_authority
from holdfast.routing.jsonp import read_jsonp
from holdfast.routing.lines import parse_line
from holdfast.routing.params import unknown_parameters
from holdfast.routing.parse import COMMAND_LINE_NAME, ProblemKind, RouteProblem, parse_route_lines, parse_routes
from holdfast.routing.rules import Proto, Rule, Target, TargetKind
from holdfast.routing.table import RouteTable
from holdfast.routing.uri import ClientUri, parse_client_uri

_URL = re.compile(r"(https?|wss?)://([^/?#]*)([^#]*)(?:#.*)?", re.IGNORECASE)
_TLS_SCHEMES = frozenset({"https", "wss"})
_WS_SCHEMES = frozenset({"ws", "wss"})
_HTTP_PORT, _HTTPS_PORT = 80, 443


def run(argv: Sequence[str], prog: str, environ: Mapping[str, str]) -> int:
    """Check what `argv` names and return the exit code: 0 if all is well, 1 if not, or if a URL has no route."""
    arguments = parse_or_report(make_parser(prog), argv)
    if isinstance(arguments, int):
        return arguments
    report = check(arguments.config, arguments.route, arguments.urls, arguments.id, environ)
    for text in report.warnings:
        print(f"warning: {text}", file=sys.stderr)
    for text in report.errors:
        print(f"error: {text}", file=sys.stderr)
    sys.stderr.flush()
    for line in report.lines:
        print(line)
    return 1 if report.errors else 0


def make_parser(prog: str) -> Parser:
    """The parser of the command line."""
    parser = Parser(prog, "Validate configuration and routes, and explain which route and targets a URL takes.")
    parser.add_argument("--config", metavar="FILE", help="configuration file")
    parser.add_argument("--route", metavar="LINE", action="append", help="add a route; replaces the routes file")
    parser.add_argument("--id", metavar="ROUTE_ID", help="value of a Pushpin-Route header sent with the URLs")
    parser.add_argument("urls", metavar="URL", nargs="*", help="http, https, ws or wss URL of a client")
    return parser


def check(
    config: str | None,
    route_lines: Sequence[str] | None,
    urls: Sequence[str],
    route_id: str | None,
    environ: Mapping[str, str],
) -> Report:
    """What is to be said about a configuration, its routes, and the way of some URLs."""
    try:
        loaded = load_settings(config, environ=environ, overrides=Overrides(needs_file=route_lines is None))
    except InvalidConfig as exc:
        return Report(warnings=exc.warnings, errors=exc.problems)
    except ConfigError as exc:
        return Report(errors=(str(exc),))
    report = _check_configuration(loaded)
    try:
        table, found = _check_routes(loaded, route_lines)
    except ConfigError as exc:
        return report + Report(errors=(str(exc),))
    report += found
    guide = _Guide(table, forward_policy(loaded.settings.proxy), route_id)
    for url in urls:
        report += guide.explain(url)
    return report


def _check_configuration(loaded: Loaded) -> Report:
    settings = loaded.settings
    doors = {
        "clients": ", ".join(map(str, settings.runner.http_port)),
        "clients by TLS": ", ".join(map(str, settings.runner.https_ports)),
        "clients on Unix sockets": ", ".join(file.path for file in settings.runner.local_ports),
        "publishing over HTTP": settings.publish_listen,
        "metrics": settings.prometheus_listen,
    }
    source = f"configuration: {loaded.config_path}" if loaded.config_path else "configuration: built in, no file"
    lines = (source, *(f"{what}: {where}" for what, where in doors.items() if where))
    report = Report(lines=lines, warnings=loaded.warnings)
    if settings.runner.https_ports:
        report += check_certificates(CertificateDirectory(loaded.certificates_path), datetime.now(UTC))
    return report


def _check_routes(loaded: Loaded, route_lines: Sequence[str] | None) -> tuple[RouteTable, Report]:
    """The routes and what is wrong with them.

    Raises:
        ConfigError: the routes file or a key cannot be read.
    """
    defaults = route_defaults(loaded)
    upstream_verifier(loaded)
    publish_verifier(loaded)
    if route_lines is not None:
        name = "command line"
        table, problems = parse_route_lines(route_lines, defaults)
        unknown = [text for line in route_lines for text in _unknown_parameters(line, f"{COMMAND_LINE_NAME}:1")]
    else:
        name = str(loaded.routes_path)
        text = _read_routes(loaded)
        table, problems = parse_routes(text, name, defaults)
        numbered = enumerate(text.split("\n"), 1)
        unknown = [text for number, line in numbered for text in _unknown_parameters(line, f"{name}:{number}")]
    return table, Report(
        lines=(f"routes: {name}, {len(table)} {'entry' if len(table) == 1 else 'entries'}",),
        warnings=(*(str(problem) for problem in problems if not _is_dropped(problem)), *unknown),
        errors=tuple(str(problem) for problem in problems if _is_dropped(problem)),
    )


def _unknown_parameters(line: str, place: str) -> list[str]:
    """What a line says in vain; nothing about a line that is wrong altogether."""
    try:
        sections = parse_line(line.removesuffix("\r"))
    except RouteError:
        return []
    return [f"{place}: {text}" for text in unknown_parameters(sections or [])]


def _is_dropped(problem: RouteProblem) -> bool:
    return problem.kind is not ProblemKind.ADJUSTED


def _read_routes(loaded: Loaded) -> str:
    path = loaded.routes_path
    try:
        return path.read_text("utf-8", "surrogateescape")
    except OSError as exc:
        raise ConfigError(f"unable to open routes file: {path}: {exc.strerror}") from exc


class _Guide:
    """Explains the way of URLs through a table."""

    def __init__(self, table: RouteTable, policy: ForwardPolicy, route_id: str | None) -> None:
        self._table = table
        self._policy = policy
        self._route_id = route_id

    def explain(self, url: str) -> Report:
        try:
            scheme, uri = _parse_url(url)
        except ValueError as exc:
            return Report(errors=(f"{url}: {exc}",))
        except WireError as exc:
            return Report(errors=(f"{url}: answered with {exc.status}: {exc.text}",))
        proto = Proto.WS if scheme in _WS_SCHEMES else Proto.HTTP
        is_tls = scheme in _TLS_SCHEMES
        lines = ["", f"{scheme}://{uri.authority}{uri.path_and_query.decode()}"]
        route_id = self._route_id
        if route_id is not None and not self._policy.accept_pushpin_route:
            lines.append("  Pushpin-Route is not looked at, since accept_pushpin_route is off")
            route_id = None
        steps = self._table.explain(uri.host, uri.path, proto=proto, is_tls=is_tls, route_id=route_id)
        lines += [f"  {step}" for step in steps]
        rule = self._table.find(uri.host, uri.path, proto=proto, is_tls=is_tls, route_id=route_id)
        if rule is None:
            return Report(tuple(lines), errors=(f"{url}: no route",))
        return Report(tuple(lines)) + self._explain_targets(rule, uri, proto, is_tls)

    def _explain_targets(self, rule: Rule, uri: ClientUri, proto: Proto, is_tls: bool) -> Report:
        """What each target is asked, in the order in which they are tried."""
        lines: list[str] = []
        try:
            asked = None
            if rule.cross_origin is not None and proto is Proto.HTTP:
                asked = read_jsonp(rule.cross_origin, uri, [], has_body=False)
            if asked is not None:
                lines.append(f"  JSON-P: {asked.method.decode()} for {asked.callback.decode(errors='replace')!r}")
                uri = uri._replace(query=asked.query)
            request = build_origin_request(
                rule, uri, b"GET", [], policy=self._policy, is_tls=is_tls, is_trusted=False,
                client_address=None, now_s=0.0, proto=proto,
            )  # fmt: skip
        except WireError as exc:
            return Report(errors=(f"{uri.text}: answered with {exc.status}: {exc.text}",))
        path = request.path_and_query.decode()
        for number, target in enumerate(rule.targets, 1):
            authority = origin_authority(request, target).encode(_HTTPS_PORT if target.ssl else _HTTP_PORT).decode()
            url = f"{_origin_scheme(target, proto)}://{authority}{path}"
            lines.append(f"  {number}. {_destination(target, connect_address(request, target))}: {url}")
        return Report(tuple(lines))


def _parse_url(url: str) -> tuple[str, ClientUri]:
    """The scheme and what a request for a URL would say; raises ValueError and WireError."""
    match = _URL.fullmatch(url)
    if match is None or not url.isascii():
        raise ValueError("not an http, https, ws or wss URL")
    scheme, authority, target = match.groups()
    target = target if target.startswith("/") else f"/{target}"
    is_tls = scheme.lower() in _TLS_SCHEMES
    return scheme.lower(), parse_client_uri(target.encode(), authority.encode(), is_tls=is_tls)


def _origin_scheme(target: Target, proto: Proto) -> str:
    name = "ws" if proto is Proto.WS else "http"
    return f"{name}s" if target.ssl else name


def _destination(target: Target, address: tuple[str, int]) -> str:
    if target.kind is TargetKind.ZHTTP:
        return f"{target.text} (PUSH, ROUTER, SUB at {', '.join(target.specs)})"
    if target.kind is not TargetKind.HOST:
        return target.text
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
