"""The instruct in JSON, `application/grip-instruct`, laid over what the headers beside it say (grip spec §4)."""

from __future__ import annotations

from dataclasses import replace

from holdfast.errors import GripError
from holdfast.grip.fields import (
    Tree,
    get_array,
    get_content,
    get_headers,
    get_int,
    get_object,
    get_reason,
    get_string,
    get_string_map,
    get_strings,
    is_object,
    parse_json,
    require_string,
)
from holdfast.grip.responses import clean_headers
from holdfast.grip.values import (
    DEFAULT_KEEP_ALIVE_TIMEOUT_S,
    MAX_CODE,
    MIN_HOLD_TIMEOUT_S,
    MIN_KEEP_ALIVE_TIMEOUT_S,
    BackendResponse,
    HoldMode,
    Instruct,
    KeepAlive,
    KeepAliveMode,
    Subscription,
)
from holdfast.wire.reasons import reason_phrase

_MODES = {mode.value: mode for mode in HoldMode}


def apply_json(base: Instruct, code: int, body: bytes) -> Instruct:
    """The instruct that `body` makes of `base`.

    JSON replaces mode, timeout and keep-alive where it gives them, adds channels and meta, and has no links. Of the
    response only `response` in it counts: `base.response` must hold the status so far, no headers and no body.

    Args:
        base: what the headers of the answer order.
        code: the answer's own status, before `Grip-Status`.
        body: the answer's whole body.

    Raises:
        GripError: with the protocol's text; an empty one if `response` is not an object.
    """
    if code != 200:
        raise GripError("response code for application/grip-instruct content must be 200")
    tree = _parse_tree(body)
    hold = get_object(tree, "instruct", "hold")
    instruct = base if hold is None else _apply_hold(base, hold)
    response = tree.get("response", {})
    if not is_object(response):
        raise GripError("")
    return replace(instruct, response=_apply_response(base.response, response))


def _parse_tree(body: bytes) -> Tree:
    try:
        tree = parse_json(body)
    except ValueError as exc:
        raise GripError("failed to parse application/grip-instruct content as JSON") from exc
    if is_object(tree):
        return tree
    if isinstance(tree, list):
        raise GripError("instruct must be an object")
    raise GripError("failed to parse application/grip-instruct content as JSON")


def _apply_hold(base: Instruct, hold: Tree) -> Instruct:
    mode_name = get_string(hold, "hold", "mode")
    mode = HoldMode.RESPONSE if mode_name is None else _MODES.get(mode_name)
    if mode is None:
        raise GripError("hold 'mode' must be set to either 'response' or 'stream'")
    subscriptions = {subscription.channel: subscription for subscription in base.subscriptions}
    subscriptions.update((subscription.channel, subscription) for subscription in _parse_channels(hold))
    timeout_s = get_int(hold, "hold", "timeout")
    keep_alive = get_object(hold, "hold", "keep-alive")
    meta = get_string_map(hold, "hold", "meta")
    return replace(
        base,
        mode=mode,
        subscriptions=tuple(subscriptions.values()),
        timeout_s=base.timeout_s if timeout_s is None else max(timeout_s, MIN_HOLD_TIMEOUT_S),
        keep_alive=base.keep_alive if keep_alive is None else _parse_keep_alive(keep_alive),
        meta={**base.meta, **meta} if meta else base.meta,
    )


def _parse_channels(hold: Tree) -> list[Subscription]:
    channels = get_array(hold, "hold", "channels")
    if channels is None:
        raise GripError("hold does not contain 'channels'")
    return [_parse_subscription(channel) for channel in channels]


def _parse_subscription(channel: object) -> Subscription:
    if not is_object(channel):
        raise GripError("channel is not an object")
    name = require_string(channel, "channel", "name")
    prev_id = get_string(channel, "channel", "prev-id")
    filters = get_strings(channel, "channel", "filters", "filters contains value with wrong type")
    return Subscription(name, prev_id, filters or ())


def _parse_keep_alive(tree: Tree) -> KeepAlive:
    """JSON has no `mode`, and always means INTERVAL (grip spec §4.6)."""
    data = get_content(tree, "keep-alive", "content")
    timeout_s = get_int(tree, "keep-alive", "timeout")
    if timeout_s is None:
        timeout_s = DEFAULT_KEEP_ALIVE_TIMEOUT_S
    return KeepAlive(data or b"", max(timeout_s, MIN_KEEP_ALIVE_TIMEOUT_S), KeepAliveMode.INTERVAL)


def _apply_response(base: BackendResponse, tree: Tree) -> BackendResponse:
    code = get_int(tree, "response", "code", MAX_CODE)
    reason = get_reason(tree, "response")
    headers = get_headers(tree, "response")
    body = get_content(tree, "response", "body")
    if reason is None:
        reason = base.reason if code is None else reason_phrase(code)
    return BackendResponse(
        base.code if code is None else code,
        reason,
        clean_headers(headers or []),
        body or b"",
    )
