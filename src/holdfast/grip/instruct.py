"""The instruct that a backend's answer is: recognised, and read from its `Grip-*` headers (grip spec §1, §3).

An instruct spelled in JSON (grip spec §4) overrides what the headers say; `grip.instruct_json` does that part.
"""

from __future__ import annotations

from collections.abc import Mapping

from holdfast.errors import GripError
from holdfast.grip.instruct_json import apply_json
from holdfast.grip.keep_alive import parse_keep_alive
from holdfast.grip.links import has_next_link, parse_links
from holdfast.grip.responses import EXPOSE_FIELD, FRAMING_FIELDS, clean_headers, keep_exposed
from holdfast.grip.values import (
    DEFAULT_HOLD_TIMEOUT_S,
    MAX_CODE,
    MIN_HOLD_TIMEOUT_S,
    NO_META,
    BackendResponse,
    HoldMode,
    Instruct,
    Subscription,
)
from holdfast.wire.headers import Headers, get_all, get_first
from holdfast.wire.params import Params, list_params, parse_int, parse_pairs, split_list
from holdfast.wire.reasons import reason_phrase

JSON_TYPE = b"application/grip-instruct"

_MODES = {mode.value.encode(): mode for mode in HoldMode}

GripLines = dict[bytes, list[bytes]]
"""The values of the `Grip-*` fields by lower-cased name, one per line."""


def is_instruct(headers: Headers) -> bool:
    """Whether an answer with these headers orders something (grip spec §1.1).

    Every proxied answer passes here, so it looks at no more than a letter or a length where it can. Names must not be
    empty.
    """
    for name, value in headers:
        if name[0] in b"Gg":
            if name[:5].lower() == b"grip-":
                return True
        elif len(name) == 12 and value.startswith(JSON_TYPE) and name.lower() == b"content-type":
            return _is_json_type(value)
    return False


def is_json_instruct(headers: Headers) -> bool:
    """Whether an answer is an instruct in JSON, if it is one at all."""
    content_type = get_first(headers, b"content-type")
    return content_type is not None and _is_json_type(content_type)


def parse_instruct(code: int, reason: bytes, headers: Headers, body: bytes) -> Instruct:
    """What a complete answer orders.

    Args:
        code: status of the answer, 0-999.
        reason: its reason phrase.
        headers: its fields, as received.
        body: its whole body.

    Raises:
        GripError: with the protocol's text, which may be empty (grip spec §4.4).
    """
    lines, kept = _split_headers(headers)
    if is_json_instruct(headers):
        return apply_json(_parse_lines(lines, code, reason, [], b""), code, body)
    if EXPOSE_FIELD in lines:
        kept = keep_exposed(kept, lines[EXPOSE_FIELD])
    return _parse_lines(lines, code, reason, kept, body)


def can_stream_body(headers: Headers) -> bool:
    """Whether the body of this instruct may go to the client before it is complete (grip spec §1.4).

    That is so for a stream hold, or a next link without a hold, unless a filter has to see the body first. An instruct
    in JSON is its body, and never streams.
    """
    if is_json_instruct(headers):
        return False
    hold = get_first(headers, b"grip-hold")
    if hold is None:
        if not has_next_link(get_all(headers, b"grip-link")):
            return False
    elif hold != b"stream":
        return False
    channels = list_params(get_all(headers, b"grip-channel"))
    return not any(param == (b"filter", b"build-id") for params in channels for param in params.params)


def parse_streamed_response(code: int, reason: bytes, headers: Headers) -> BackendResponse:
    """The head with which a body that `can_stream_body` allows begins, its own body left empty.

    `Grip-Status` counts, `Grip-Expose-Headers` does not. Raises GripError for a bad `Grip-Status` only: other faults
    are `parse_instruct_head`'s to find, after the head is on its way.
    """
    values = get_all(headers, b"grip-status")
    return BackendResponse(*_parse_status(values, code, reason), clean_headers(headers), b"")


def parse_instruct_head(code: int, reason: bytes, headers: Headers) -> Instruct:
    """What an answer orders by its headers alone; the body of its response is empty, `Grip-Expose-Headers` not applied.

    Raises GripError as `parse_instruct` does, also for an instruct in JSON, whose body is missing here.
    """
    lines, kept = _split_headers(headers)
    instruct = _parse_lines(lines, code, reason, kept, b"")
    return apply_json(instruct, code, b"") if is_json_instruct(headers) else instruct


def missing_link(instruct: Instruct) -> str | None:
    """Why a stream hold cannot be: it must be gapless, and has no next link to recover by (grip spec §6.1)."""
    if instruct.mode is HoldMode.STREAM and instruct.next_link is None:
        for subscription in instruct.subscriptions:
            if subscription.prev_id is not None:
                return f"channel '{subscription.channel}' specifies prev-id, but no next link found"
    return None


def _is_json_type(content_type: bytes) -> bool:
    return content_type.partition(b";")[0].rstrip() == JSON_TYPE


def _split_headers(headers: Headers) -> tuple[GripLines, Headers]:
    """The `Grip-*` lines, and the fields that a client may see."""
    lines: GripLines = {}
    kept: Headers = []
    for header in headers:
        lower = header[0].lower()
        if lower.startswith(b"grip-"):
            lines.setdefault(lower, []).append(header[1])
        elif lower not in FRAMING_FIELDS:
            kept.append(header)
    return lines, kept


def _parse_lines(lines: GripLines, code: int, reason: bytes, kept: Headers, body: bytes) -> Instruct:
    """The instruct of these header lines, checked in the protocol's order (grip spec §3)."""
    mode = _parse_mode(lines.get(b"grip-hold"))
    subscriptions = _parse_channels(lines.get(b"grip-channel", []))
    timeout_s = _parse_timeout(lines.get(b"grip-timeout"))
    keep_alive_lines = lines.get(b"grip-keep-alive")
    keep_alive = parse_keep_alive(keep_alive_lines[0]) if keep_alive_lines else None
    meta = _parse_meta(lines.get(b"grip-set-meta", []))
    code, reason = _parse_status(lines.get(b"grip-status"), code, reason)
    next_link, gone_link = parse_links(lines.get(b"grip-link", []))
    response = BackendResponse(code, reason, kept, body)
    return Instruct(mode, subscriptions, timeout_s, keep_alive, meta, next_link, gone_link, response)


def _parse_mode(values: list[bytes] | None) -> HoldMode | None:
    if not values:
        return None
    mode = _MODES.get(values[0])
    if mode is None:
        raise GripError("Grip-Hold must be set to either 'response' or 'stream'")
    return mode


def _parse_channels(values: list[bytes]) -> tuple[Subscription, ...]:
    """The channels of all lines in order; of one that comes twice the later id and filters count (grip spec §3.2)."""
    subscriptions = map(_parse_subscription, list_params(values))
    return tuple({subscription.channel: subscription for subscription in subscriptions}.values())


def _parse_subscription(params: Params) -> Subscription:
    channel = _decode(params.first)
    if not params.params:
        return Subscription(channel)
    prev_id = params.get(b"prev-id")
    filters = tuple(_decode(value) for name, value in params.params if name == b"filter" and value is not None)
    return Subscription(channel, None if prev_id is None else _decode(prev_id), filters)


def _parse_timeout(values: list[bytes] | None) -> int:
    if not values:
        return DEFAULT_HOLD_TIMEOUT_S
    timeout_s = parse_int(values[0])
    if timeout_s is None:
        raise GripError("failed to parse Grip-Timeout")
    if timeout_s < 0:
        raise GripError("Grip-Timeout has invalid value")
    return max(timeout_s, MIN_HOLD_TIMEOUT_S)


def _parse_meta(values: list[bytes]) -> Mapping[str, str | None]:
    """The first `key=value` of every list element; later keys overwrite earlier ones (grip spec §3.5)."""
    if not values:
        return NO_META
    meta: dict[str, str | None] = {}
    for part in (part for value in values for part in split_list(value)):
        pairs = parse_pairs(part)
        if pairs is None:
            continue
        if not pairs:
            raise GripError("Grip-Set-Meta cannot be empty")
        key, text = pairs[0]
        meta[_decode(key)] = None if text is None else _decode(text)
    return meta


def _parse_status(values: list[bytes] | None, code: int, reason: bytes) -> tuple[int, bytes]:
    """The status that `Grip-Status: CODE[ REASON]` orders, or the one given (grip spec §3.6)."""
    if not values:
        return code, reason
    code_text, _, reason_text = values[0].strip().partition(b" ")
    new_code = parse_int(code_text)
    if new_code is None or not 0 <= new_code <= MAX_CODE:
        raise GripError("Grip-Status contains invalid status code")
    new_reason = reason_text.strip() or reason_phrase(new_code)
    if any(breaker in new_reason for breaker in b"\r\n\0"):
        raise GripError("Grip-Status contains invalid reason")
    return new_code, new_reason


def _decode(text: bytes) -> str:
    return text.decode("utf-8", "replace")
