"""What was made of the last instruct that held a client, because the next one is often equal to it.

When the clients of a popular channel come back, after a restart or an answered poll, thousands of requests get the same
answer from the backend, byte for byte. Heads that are equal are one object then (`wire/http1/repeated.py`), so that a
look at identities tells that nothing has to be parsed, checked and encoded again.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass

from holdfast.proxy.reply import Reply
from holdfast.push.outlet import Framing
from holdfast.push.plan import HoldPlan
from holdfast.routing.rules import Rule, Target
from holdfast.wire.headers import Headers


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a client was held, without next link, gone link or transform; the instruct was in order.

    Args:
        headers, body: of the instruct.
        rule, target, framing: of the request; the same objects are the same.
        plan: as long as a hold has it.
        head, content: what a stream begins with, content without its framing; nothing for a long poll.
        content_bytes: the length of that content.
    """

    headers: Headers
    body: bytes
    rule: Rule
    target: Target
    framing: Framing
    plan: weakref.ref[HoldPlan]
    first: bytes
    head_bytes: int
    content_bytes: int

    def plan_for(self, reply: Reply, body: bytes, rule: Rule, target: Target, framing: Framing) -> HoldPlan | None:
        """The plan, if this is how to hold a client with that answer; else None."""
        if reply.headers is not self.headers or rule is not self.rule or target is not self.target:
            return None
        return self.plan() if framing is self.framing and body == self.body else None
