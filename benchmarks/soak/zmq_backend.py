"""The ZeroMQ side of a soak's backend, a REP socket: ``/zmq/plain/BYTES``, ``/zmq/upload``, ``/zmq/live/CHANNEL``."""

from __future__ import annotations

import zlib

import zmq
import zmq.asyncio
from tests.harness.zhttp import Packet, decode_packet, encode_packet, path_of

_LIVE_HEADERS = [
    ["Grip-Hold", "stream"],
    ["Grip-Keep-Alive", "\\n; format=cstring; timeout=10"],
]


async def answer_requests(spec: str) -> None:
    """Connect to the proxy, and answer one request after the other."""
    with zmq.asyncio.Context() as context, context.socket(zmq.REP) as socket:
        socket.connect(spec)
        while True:
            request = decode_packet(await socket.recv())
            await socket.send(encode_packet({"id": request["id"], **_answer(request)}))


def _answer(request: Packet) -> Packet:
    kind, _, rest = path_of(request).removeprefix("/zmq/").partition("/")
    headers = [["Content-Type", "text/plain"]]
    code, body = 200, b""
    match kind:
        case "plain":
            body = b"p" * int(rest)
        case "upload":
            body = str(zlib.crc32(request["body"])).encode()
        case "live":
            headers += [*_LIVE_HEADERS, ["Grip-Channel", rest]]
        case _:
            code, body = 404, b"no such path\n"
    return {"code": code, "reason": "OK" if code == 200 else "Not Found", "headers": headers, "body": body}
