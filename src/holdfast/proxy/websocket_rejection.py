"""A backend's answer that does not accept a WebSocket."""

from __future__ import annotations

from dataclasses import dataclass

from holdfast.proxy.reply import Reply, read_limited
from holdfast.wire.headers import Headers

MAX_REJECTION_BYTES = 100_000


@dataclass(frozen=True, slots=True)
class Rejection:
    """Such an answer; the client gets it as it is, but for what of its body is too long."""

    code: int
    reason: bytes
    headers: Headers
    body: bytes


async def read_rejection(reply: Reply) -> Rejection:
    """An answer as a rejection. Raises BackendError."""
    body = await read_limited(reply, MAX_REJECTION_BYTES)
    return Rejection(reply.code, reply.reason, reply.headers, body[:MAX_REJECTION_BYTES])
