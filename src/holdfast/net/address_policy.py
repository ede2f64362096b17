"""Which addresses an untrusted target may be connected to (routes spec §3.9)."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

_REFUSED: tuple[IPv4Network | IPv6Network, ...] = tuple(
    ip_network(network)
    for network in (
        "0.0.0.0/8",  # "this host": the system takes it for loopback
        "127.0.0.0/8",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "169.254.0.0/16",
        "::/128",
        "::1/128",
        "fc00::/7",
        "fe80::/10",
    )
)


def public_addresses(addresses: Iterable[str]) -> list[str]:
    """Those of `addresses` that are allowed, each once, in order. IPv4 in IPv6 clothes is judged as IPv4."""
    return [address for address in dict.fromkeys(addresses) if _is_public(address)]


def _is_public(text: str) -> bool:
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return not any(address in network for network in _REFUSED)
