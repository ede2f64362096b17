"""What is known of a client that wants a WebSocket."""

from __future__ import annotations

import uuid

from holdfast.proxy.socket_request import make_connection_id


def test_connection_ids_are_random_uuids() -> None:
    texts = [make_connection_id() for _ in range(1000)]
    ids = [uuid.UUID(text) for text in texts]
    assert [str(id) for id in ids] == texts
    assert {(id.version, id.variant) for id in ids} == {(4, uuid.RFC_4122)}
    assert len(set(ids)) == 1000
    assert {text[19] for text in texts} == set("89ab")
