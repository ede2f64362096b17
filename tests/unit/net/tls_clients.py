"""Clients that speak TLS, and where they connect to."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.harness.tls import client_context, make_certificate
from tests.unit.net.helpers import Stage

from holdfast.net.tls import CertificateDirectory

CERTIFICATE = make_certificate("x.test")


async def listen(stage: Stage, directory: Path) -> tuple[str, int]:
    """Listen by TLS, too; where."""
    stage.listener.listen("127.0.0.1", 0, CertificateDirectory(directory))
    address = stage.listener.addresses[-1]
    CERTIFICATE.write(directory, f"default_{address[1]}")
    return address


async def connect(address: tuple[str, int]) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(*address, ssl=client_context(), server_hostname="x.test")
