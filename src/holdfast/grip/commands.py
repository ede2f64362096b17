"""What operators and other programs order at the command door (grip spec §15.5)."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass

from holdfast.errors import GripError
from holdfast.grip.fields import Tree, get_strings, is_object, require_string
from holdfast.grip.item import Item, parse_items
from holdfast.grip.trees import make_tree
from holdfast.wire.zrpc import CommandRequest

_SUBJECT = "args"


class Condition(enum.Enum):
    """Why a command is not executed."""

    BAD_REQUEST = b"bad-request"
    METHOD_NOT_FOUND = b"method-not-found"
    ITEM_NOT_FOUND = b"item-not-found"


class CommandError(GripError):
    """A command cannot be executed.

    Attributes:
        condition: what the answer says.
        value: what it says besides; None for nothing.
    """

    def __init__(self, condition: Condition, value: str | None = None) -> None:
        super().__init__(value or condition.value.decode())
        self.condition = condition
        self.value = value


@dataclass(frozen=True, slots=True)
class GetZmqUris:
    """Say where the ZeroMQ doors are."""


@dataclass(frozen=True, slots=True)
class Publish:
    """Publish these items, all of which are valid."""

    items: list[Item]


@dataclass(frozen=True, slots=True)
class Recover:
    """Let every held client ask its backend for what it may have missed."""


@dataclass(frozen=True, slots=True)
class CheckConnections:
    """Say which of these connection ids belong to a connection."""

    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RefreshConnection:
    """Let the WebSocket-over-HTTP connection of this id ask its backend at once."""

    id: str


@dataclass(frozen=True, slots=True)
class RefreshChannel:
    """Let all such connections that are subscribed to this channel do so."""

    channel: str


Command = GetZmqUris | Publish | Recover | CheckConnections | RefreshConnection | RefreshChannel


def parse_command(request: CommandRequest) -> Command:
    """The command that a call is. Raises CommandError."""
    parse = _PARSERS.get(request.method)
    if parse is None:
        raise CommandError(Condition.METHOD_NOT_FOUND)
    args = make_tree(request.args)
    assert is_object(args)
    try:
        return parse(args)
    except GripError as exc:
        # Compat: only publishers are told what is wrong.
        raise CommandError(Condition.BAD_REQUEST, str(exc) if parse is _parse_publish else None) from exc


def _parse_publish(args: Tree) -> Command:
    return Publish(parse_items(args))


def _parse_check(args: Tree) -> Command:
    ids = get_strings(args, _SUBJECT, "ids", "ids contains element with wrong type")
    if ids is None:
        raise GripError(f"{_SUBJECT} does not contain 'ids'")
    return CheckConnections(ids)


def _parse_refresh(args: Tree) -> Command:
    if "cid" in args:
        return RefreshConnection(require_string(args, _SUBJECT, "cid"))
    return RefreshChannel(require_string(args, _SUBJECT, "channel"))


_PARSERS: dict[bytes, Callable[[Tree], Command]] = {
    b"get-zmq-uris": lambda args: GetZmqUris(),
    b"publish": _parse_publish,
    b"recover": lambda args: Recover(),
    b"conncheck": _parse_check,
    b"refresh": _parse_refresh,
}
