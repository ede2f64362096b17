"""The packets of the command door: a TNetString each, without a prefix (grip spec §15.5)."""

from __future__ import annotations

from dataclasses import dataclass, field

from holdfast.errors import PacketError
from holdfast.wire.tnetstring import Map, Value, encode_tnetstring, parse_tnetstring


@dataclass(frozen=True, slots=True)
class CommandRequest:
    """A call; `id` is what the answer has to repeat, None for nothing."""

    id: bytes | None
    method: bytes
    args: Map = field(default_factory=dict)


def parse_command_request(frame: bytes) -> CommandRequest:
    """The call of a frame. Raises PacketError; nothing is answered then, because there is nobody sure to listen."""
    fields = parse_tnetstring(frame)
    if not isinstance(fields, dict):
        raise PacketError("command is no map")
    identifier = fields.get(b"id")
    if b"id" in fields and not isinstance(identifier, bytes):
        raise PacketError("command with an 'id' that is no string")
    method = fields.get(b"method")
    if not isinstance(method, bytes):
        raise PacketError("command without a 'method' that is a string")
    args = fields.get(b"args", {})
    if not isinstance(args, dict):
        raise PacketError("command with 'args' that are no map")
    return CommandRequest(identifier if isinstance(identifier, bytes) else None, method, args)


def encode_success(identifier: bytes | None, value: Value) -> bytes:
    """The answer to a call that was executed; its value is there even if it is null."""
    return encode_tnetstring({**_id_fields(identifier), b"success": True, b"value": value})


def encode_failure(identifier: bytes | None, condition: bytes, value: bytes | None = None) -> bytes:
    """The answer to a call that was not executed, and for some conditions the text that says why."""
    fields: Map = {**_id_fields(identifier), b"success": False, b"condition": condition}
    if value is not None:
        fields[b"value"] = value
    return encode_tnetstring(fields)


def _id_fields(identifier: bytes | None) -> Map:
    return {} if identifier is None else {b"id": identifier}
