"""Asking a ZeroMQ backend: the request in one packet (ws spec §7.6), or in as many as it takes (§7.7)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from holdfast.errors import BackendError
from holdfast.net.exchange import ClientGone
from holdfast.proxy.answers import origin_error
from holdfast.proxy.reply import Reply
from holdfast.proxy.zhttp_reply import StreamReply
from holdfast.proxy.zhttp_requests import RequestService
from holdfast.proxy.zhttp_streams import StreamService
from holdfast.proxy.zhttp_values import make_request_head
from holdfast.routing.rules import Target
from holdfast.wire.zhttp.packets import MAX_BODY_BYTES

if TYPE_CHECKING:
    from holdfast.proxy.attempts import Attempts


async def ask_in_one_packet(attempts: Attempts, service: RequestService, target: Target) -> Reply:
    """Read all of the body, and send it with the request.

    Raises:
        BackendError: there is no answer.
        ErrorAnswer: the body is too long for a packet.
    """
    if not await attempts.read_all(MAX_BODY_BYTES):
        raise origin_error(f"request body exceeds {MAX_BODY_BYTES} bytes")
    head = make_request_head(attempts.request, target, attempts.content_length)
    attempts.body_bytes_sent += len(attempts.prefix)
    attempts.note_request()
    reply = await service.ask(head, attempts.prefix)
    attempts.note_answer()
    return reply


async def ask_in_packets(attempts: Attempts, service: StreamService, target: Target) -> Reply:
    """Send what is here of the request; the rest of its body follows in a task, as the backend grants it.

    Raises BackendError.
    """
    reply = StreamReply(service)
    head = make_request_head(attempts.request, target, attempts.content_length)
    attempts.body_bytes_sent += len(attempts.prefix)
    attempts.note_request()
    try:
        rest = reply.send_request(head, attempts.prefix, is_whole=attempts.is_whole)
        if rest or not attempts.is_whole:
            attempts.start_pump(_send_body(attempts, reply, rest))
        await reply.read_head()
        attempts.note_answer()
    except (BackendError, asyncio.CancelledError):
        attempts.stop()
        reply.close(is_request_sent=False)
        raise
    return reply


async def _send_body(attempts: Attempts, reply: StreamReply, rest: bytes) -> None:
    """Send what is left of the prefix, and what follows it."""
    await reply.write(rest)
    if not attempts.is_whole:
        try:
            while content := await attempts.read_more():
                attempts.body_bytes_sent += len(content)
                await reply.write(content)
        except ClientGone:
            return
    await reply.end_body()
    attempts.is_body_sent = True
