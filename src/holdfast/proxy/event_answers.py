"""What a web server's answer to events says: events, and what later requests are to be like (ws spec §1.3-§1.6)."""

from __future__ import annotations

import asyncio

from holdfast.errors import WireError
from holdfast.proxy.reply import Reply, read_limited
from holdfast.proxy.websocket_client import EVENTS_PER_TURN
from holdfast.wire.headers import Headers, get_first
from holdfast.wire.params import parse_int
from holdfast.wire.ws_events import MEDIA_TYPE, Event, read_events

MAX_RESPONSE_BYTES = 1_000_000

MAX_META_BYTES = 65536
"""Names and values that one backend may set with `Set-Meta-*`, together: every request of the session has them."""

MIN_INTERVAL_S = 20

_SET_META = b"set-meta-"
_META = b"Meta-"


def has_events(reply: Reply) -> bool:
    """Whether it is an answer with events."""
    return reply.code == 200 and get_first(reply.headers, b"content-type") == MEDIA_TYPE


def check_answer(reply: Reply) -> None:
    """Raises WireError with status 502 if it is no answer with events."""
    if not has_events(reply):
        raise WireError(502, f"backend answered {reply.code} instead of events")


def fits_turn(body: bytes) -> bool:
    """Whether nobody has to have a turn while `body` is read, and acted on: an event with content has two lines."""
    return body.count(b"\r\n") < EVENTS_PER_TURN


async def read_answer(reply: Reply) -> list[Event]:
    """The events of an answer, as far as they are known ones.

    Raises:
        BackendError: the answer is broken off.
        WireError: 502, it is too long, or not valid.
    """
    body = await read_limited(reply, MAX_RESPONSE_BYTES)
    if len(body) > MAX_RESPONSE_BYTES:
        raise WireError(502, f"answer exceeds {MAX_RESPONSE_BYTES} bytes")
    events = []
    for number, event in enumerate(read_events(body), 1):
        if number % EVENTS_PER_TURN == 0:
            await asyncio.sleep(0)
        if event is not None:
            events.append(event)
    return events


def next_interval_s(known_s: int, headers: Headers) -> int:
    """Seconds after which the backend wants to be asked again, 0 for never, after an answer with these headers."""
    value = get_first(headers, b"keep-alive-interval")
    if value is None:
        return known_s
    seconds = parse_int(value) or 0
    return max(seconds, MIN_INTERVAL_S) if seconds > 0 else 0


def set_meta(meta: Headers, headers: Headers) -> Headers:
    """The `Meta-*` fields of later requests, after an answer with these headers (ws spec §1.5).

    A `Set-Meta-X` replaces what is known of X and moves it to the end; an empty value forgets it.

    Raises WireError with status 502: there is too much of it.
    """
    for name, value in headers:
        lower = name.lower()
        if not lower.startswith(_SET_META) or len(name) == len(_SET_META):
            continue
        key = _META + name[len(_SET_META) :]
        meta = [known for known in meta if known[0].lower() != key.lower()]
        if value:
            meta.append((key, value))
    if sum(len(name) + len(value) for name, value in meta) > MAX_META_BYTES:
        raise WireError(502, f"backend set more than {MAX_META_BYTES} bytes of meta")
    return meta


def accepted_bytes(headers: Headers) -> int | None:
    """Content-Bytes-Accepted; None, which is everything, without a number in it (ws spec §1.6)."""
    value = get_first(headers, b"content-bytes-accepted")
    number = parse_int(value) if value is not None else None
    return number if number is not None and number >= 0 else None
