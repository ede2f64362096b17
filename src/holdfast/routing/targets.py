"""A target of a line of the routes file (routes spec §1.5)."""

from __future__ import annotations

import re
from ipaddress import IPv6Address

from holdfast.errors import RouteError
from holdfast.routing.lines import Section
from holdfast.routing.rules import Target, TargetKind
from holdfast.routing.texts import all_texts, parse_override

_PORT = re.compile(r"[0-9]{1,5}")
_ZHTTP_KINDS = {"zhttp": TargetKind.ZHTTP, "zhttpreq": TargetKind.ZHTTPREQ}
_TCP = re.compile(r"tcp://(?:[^:\[\]]+|\[[^\]]+\]):([0-9]{1,5})")
_OCTAL = re.compile(r"0*[0-7]{1,3}")


def parse_target(section: Section) -> Target:
    """The target that a section describes.

    Raises:
        RouteError: with the text of routes spec §1.5.
    """
    texts = dict(section.props)
    kind, host, port, specs = _parse_place(section.value)
    return Target(
        kind=kind,
        text=section.value,
        host=host,
        port=port,
        ssl="ssl" in texts,
        untrusted="untrusted" in texts,
        trust_connect_host="trust_connect_host" in texts,
        insecure="insecure" in texts,
        host_override=parse_override(texts, "host"),
        subs=tuple(filter(None, all_texts(section, "sub"))),
        over_http="over_http" in texts,
        one_event="one_event" in texts,
        specs=specs,
        ipc_file_mode=_parse_mode(texts.get("ipc_file_mode", "")),
    )


def _parse_place(value: str) -> tuple[TargetKind, str, int, tuple[str, ...]]:
    """Kind, host and port to connect to, and the ZeroMQ addresses to listen at."""
    if value == "test":
        return TargetKind.TEST, "", 0, ()
    scheme, slash, spec = value.partition("/")
    if slash and scheme in _ZHTTP_KINDS:
        kind = _ZHTTP_KINDS[scheme]
        return kind, "", 0, _parse_specs(kind, spec)
    host, colon, port = _split_bracketed(value) if value.startswith("[") else value.partition(":")
    if not colon:
        raise RouteError("target bad format")
    if not _PORT.fullmatch(port) or not 1 <= int(port) <= 65535:
        raise RouteError("target invalid port")
    return TargetKind.HOST, host, int(port), ()


def _parse_specs(kind: TargetKind, spec: str) -> tuple[str, ...]:
    """The addresses of the sockets of a target: one, or three for PUSH, ROUTER and SUB (ws spec §7.1)."""
    tcp = _TCP.fullmatch(spec)
    if tcp is None:
        if not spec.startswith("ipc://") or not spec.removeprefix("ipc://"):
            raise RouteError(f"{kind.value} target must name an address such as tcp://HOST:PORT or ipc://FILE")
        return (spec,) if kind is TargetKind.ZHTTPREQ else (f"{spec}-out", f"{spec}-out-stream", f"{spec}-in")
    port = int(tcp[1])
    count = 1 if kind is TargetKind.ZHTTPREQ else 3
    if not 1 <= port <= 65536 - count:
        raise RouteError("target invalid port")
    return tuple(f"{spec[: tcp.start(1)]}{port + offset}" for offset in range(count))


def _parse_mode(text: str) -> int | None:
    """Permissions in octal digits; what is none does not count (routes spec §1.5)."""
    return int(text, 8) if _OCTAL.fullmatch(text) else None


def _split_bracketed(value: str) -> tuple[str, str, str]:
    """Address without brackets, colon and port of `[IPV6]:PORT`; the colon is "" if there is none."""
    address, _, rest = value[1:].partition("]")
    try:
        IPv6Address(address)
    except ValueError as exc:
        raise RouteError("target bad format") from exc
    return address, rest[:1] if rest.startswith(":") else "", rest[1:]
