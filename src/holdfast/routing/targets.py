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


def parse_target(section: Section) -> Target:
    """The target that a section describes.

    Raises:
        RouteError: with the text of routes spec §1.5.
    """
    texts = dict(section.props)
    kind, host, port = _parse_place(section.value)
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
    )


def _parse_place(value: str) -> tuple[TargetKind, str, int]:
    if value == "test":
        return TargetKind.TEST, "", 0
    scheme, slash, spec = value.partition("/")
    if slash and scheme in _ZHTTP_KINDS:
        if "://" not in spec:
            raise RouteError(f"{scheme} target must name an address such as tcp://HOST:PORT")
        return _ZHTTP_KINDS[scheme], "", 0
    host, colon, port = _split_bracketed(value) if value.startswith("[") else value.partition(":")
    if not colon:
        raise RouteError("target bad format")
    if not _PORT.fullmatch(port) or not 1 <= int(port) <= 65535:
        raise RouteError("target invalid port")
    return TargetKind.HOST, host, int(port)


def _split_bracketed(value: str) -> tuple[str, str, str]:
    """Address without brackets, colon and port of `[IPV6]:PORT`; the colon is "" if there is none."""
    address, _, rest = value[1:].partition("]")
    try:
        IPv6Address(address)
    except ValueError as exc:
        raise RouteError("target bad format") from exc
    return address, rest[:1] if rest.startswith(":") else "", rest[1:]
