"""Publishing over the HTTP door on a raw connection, and the items that tests publish most."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

from tests.harness.client import RawClient, fetch
from tests.harness.messages import HeaderList, Response

Item = dict[str, Any]


def stream_item(channel: str, content: str | bytes) -> Item:
    """An item with an ``http-stream`` format; bytes go as ``content-bin``."""
    if isinstance(content, bytes):
        return {"channel": channel, "formats": {"http-stream": {"content-bin": base64.b64encode(content).decode()}}}
    return {"channel": channel, "formats": {"http-stream": {"content": content}}}


def close_item(channel: str) -> Item:
    """An item that ends the streams of ``channel``."""
    return {"channel": channel, "formats": {"http-stream": {"action": "close"}}}


def hint_item(channel: str) -> Item:
    """An item that has the streams and polls of ``channel`` ask their backend."""
    return {"channel": channel, "formats": {name: {"action": "hint"} for name in ("http-stream", "http-response")}}


def with_ids(item: Item, item_id: str | None, prev_id: str | None = None) -> Item:
    """``item`` with an id and a prev-id; None leaves one out."""
    ids = {"id": item_id, "prev-id": prev_id}
    return {**item, **{name: value for name, value in ids.items() if value is not None}}


def item(channel: str, item_id: str | None, prev_id: str | None = None, *, no_seq: bool = False) -> Item:
    """A stream item that says its id and a comma (a dash if it has none)."""
    content = stream_item(channel, f"{'-' if item_id is None else item_id},")
    return with_ids({**content, **({"no-seq": True} if no_seq else {})}, item_id, prev_id)


def response_item(channel: str, body: str, **fields: Any) -> Item:
    """An item with an ``http-response`` format; ``fields`` are ``code``, ``reason``, ``headers`` ..."""
    return {"channel": channel, "formats": {"http-response": {"body": body, **fields}}}


def post_publish(port: int, body: bytes, headers: HeaderList | None = None, path: str = "/publish/") -> Response:
    """POST raw bytes to the publish door and return its answer."""
    with RawClient(port) as client:
        client.request(path, method="POST", headers=headers, body=body)
        return client.read_response()


def publish(port: int, items: Sequence[Item], accept: str | None = None) -> Response:
    """Publish ``items`` in one call and return the answer, whatever it is."""
    headers = [("Content-Type", "application/json")]
    if accept is not None:
        headers.append(("Accept", accept))
    return post_publish(port, json.dumps({"items": list(items)}, ensure_ascii=False).encode(), headers)


def publish_ok(port: int, *items: Item) -> None:
    """Publish ``items`` in one call, which must be accepted."""
    response = publish(port, items)
    assert (response.status, response.text) == (200, "Published\n"), response


def recover(port: int) -> None:
    """Have all holds ask their backends."""
    response = fetch(port, "/recover/", method="POST", body=b"")
    assert (response.status, response.text) == (200, "Updated\n"), response
