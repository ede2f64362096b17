"""Which addresses an untrusted target may be connected to."""

from __future__ import annotations

import pytest

from holdfast.net.address_policy import public_addresses


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.255.255.254",
        "10.1.2.3",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.0.1",
        "169.254.169.254",
        "0.0.0.0",
        "::",
        "::1",
        "fc00::1",
        "fdff::1",
        "fe80::1",
        "fe80::1%eth0",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
    ],
)
def test_private_addresses_are_refused(address: str) -> None:
    """routes-75."""
    assert public_addresses([address]) == []


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "172.15.0.1", "172.32.0.1", "2001:db8::1", "::ffff:8.8.8.8", "11.0.0.1"]
)
def test_public_addresses_are_allowed(address: str) -> None:
    assert public_addresses([address]) == [address]


def test_the_allowed_ones_remain_in_order_and_once() -> None:
    """routes spec §3.9: refused only if all are."""
    assert public_addresses(["8.8.8.8", "10.0.0.1", "1.1.1.1", "8.8.8.8"]) == ["8.8.8.8", "1.1.1.1"]
