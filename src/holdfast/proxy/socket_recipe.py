"""How the last WebSocket over HTTP was opened, because the next one is often opened alike; see `recipe`.

That is worth something if what comes with the acceptance is what it usually is: subscriptions, and first messages.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass, replace

from holdfast.errors import GripError
from holdfast.grip.ws_control import Subscribe, parse_control
from holdfast.grip.ws_extension import ControlText, MessageSorter
from holdfast.proxy.acceptance import OPCODES, Acceptance, Agreement
from holdfast.proxy.reply import WholeReply
from holdfast.push.dialects import Dialect
from holdfast.push.plan import HoldPlan
from holdfast.push.socket_hold import SocketHold
from holdfast.routing.rules import Rule, Target
from holdfast.wire.headers import Headers
from holdfast.wire.websocket.stream import Data

MAX_BODY_BYTES = 100_000
"""Of an acceptance that is kept in mind; what comes of it is no longer."""


@dataclass(frozen=True, slots=True)
class Way:
    """How a client was opened; all that the backend said is in it.

    Args:
        plan: what the subscriptions came to, as long as a hold has it.
        headers: of the 101.
        messages, first: see `Acceptance`.
    """

    plan: weakref.ref[HoldPlan]
    headers: Headers
    messages: Sequence[Data]
    first: bytes
    agreement: Agreement


@dataclass(frozen=True, slots=True)
class SocketRecipe:
    """An acceptance, and what came of it.

    Args:
        headers, body: of the answer.
        rule, target, dialect, has_grip: of what it answers; the same objects are the same.
        way: None if it came once only.
        is_simple: False if it came again and brought something else as well, so that there is no way.
    """

    headers: Headers
    body: bytes
    rule: Rule
    target: Target
    dialect: Dialect
    has_grip: bool
    way: Way | None = None
    is_simple: bool = True

    @classmethod
    def first(
        cls, reply: WholeReply, rule: Rule, target: Target, dialect: Dialect, *, has_grip: bool
    ) -> SocketRecipe | None:
        """An answer that has come once; None if it is too long to be kept in mind."""
        if len(reply.body) > MAX_BODY_BYTES:
            return None
        return cls(reply.headers, reply.body, rule, target, dialect, has_grip)

    def is_for(self, reply: WholeReply, rule: Rule, target: Target, dialect: Dialect, *, has_grip: bool) -> bool:
        """Whether it is the same answer to the same."""
        if reply.headers is not self.headers or rule is not self.rule or target is not self.target:
            return False
        return dialect is self.dialect and has_grip is self.has_grip and reply.body == self.body

    def follow(self) -> tuple[Acceptance, Agreement] | None:
        """What the backend says, as far as that is known and still there."""
        way = self.way
        plan = way.plan() if way is not None else None
        if way is None or plan is None:
            return None
        return Acceptance(way.headers, [], plan, way.messages, way.first), way.agreement

    def learn(self, acceptance: Acceptance, agreement: Agreement, hold: SocketHold) -> SocketRecipe:
        """The same, with what has been done now for the client of `hold`."""
        way = find_way(acceptance, agreement, hold)
        return replace(self, way=way, is_simple=way is not None)


def find_way(acceptance: Acceptance, agreement: Agreement, hold: SocketHold) -> Way | None:
    """How to open a client like that of `hold`, for whom all this has been done; None if it takes more than a plan."""
    plan = hold.plan
    if hold.dialect.greeting or plan.network_filtered:
        return None
    sorter = MessageSorter(agreement.prefix) if agreement.prefix is not None else None
    messages: list[Data] = []
    subscriptions = 0
    for event in acceptance.events:
        opcode = OPCODES.get(event.type)
        if opcode is None:
            return None
        message = Data(opcode, event.content)
        sorted_message = message if sorter is None else sorter.sort(message)
        if isinstance(sorted_message, ControlText):
            if not _subscribes(sorted_message.text):
                return None
            subscriptions += 1
        elif sorted_message is not None:
            messages.append(sorted_message)
    if subscriptions != len(plan.subscriptions):
        return None  # one was refused, or came twice
    first = b"".join(hold.dialect.piece_encoder().feed(message) for message in messages)
    return Way(weakref.ref(plan), acceptance.headers, messages, first, agreement)


def _subscribes(text: bytes) -> bool:
    try:
        order = parse_control(text)
    except GripError:
        return False
    return isinstance(order, Subscribe)
