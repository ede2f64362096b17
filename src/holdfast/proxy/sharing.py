"""Equal requests share one to the backend: who asks what is being asked already gets the same answer.

What is equal is decided in `holdfast.routing.sharing`; docs/decisions/0013-request-sharing.md says why. One task asks
and reads, each client has its own exchange, which finds a `Reply` as if it had asked alone. Nothing is read from the
backend before everybody has taken what came; who leaves all others waiting for too long is left behind.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Hashable

from holdfast.errors import BadResponse, GripError
from holdfast.grip.instruct import is_json_instruct, parse_instruct
from holdfast.net.runtime import Runtime
from holdfast.proxy.accept import MAX_BODY_BYTES
from holdfast.proxy.attempts import Attempts
from holdfast.proxy.reply import Reply, read_limited
from holdfast.proxy.shared_reply import SharedReply
from holdfast.routing.rules import Rule
from holdfast.routing.sharing import is_for_one_client, request_key

KEPT_BYTES = 100_000
"""Of a body, kept for those who come later; nobody can join once more has come (routes spec §3.14)."""


class Sharing:
    """The requests that others can join, by what they ask.

    Args:
        patience_s: how long clients may leave others waiting for the next piece of an answer.
    """

    def __init__(self, runtime: Runtime, patience_s: float) -> None:
        self.runtime = runtime
        self.patience_s = patience_s
        self._open: dict[Hashable, _SharedRequest] = {}
        self._numbers = itertools.count(1)

    def __len__(self) -> int:
        return len(self._open)

    async def ask(self, attempts: Attempts, rule: Rule, *, is_trusted: bool) -> Reply:
        """The answer to the request of `attempts`, to which others may be listening.

        Raises:
            ErrorAnswer: as `Attempts.run` does.
        """
        if not attempts.is_shareable:
            return await attempts.run(rule)
        # The rule by identity: after a reload the same line may mean something else. It lives as long as the entry.
        key = (id(rule), request_key(attempts.request, is_trusted=is_trusted))
        shared = self._open.get(key)
        if shared is None:
            shared = self._open[key] = _SharedRequest(self, key, attempts, rule, next(self._numbers))
        reply = shared.join(attempts)
        try:
            is_given = await reply.read_head()
        except BaseException:
            reply.close(is_request_sent=True)
            raise
        return reply if is_given else await attempts.run(rule)

    def forget(self, key: Hashable) -> None:
        """Nobody can join the request of `key` any more."""
        self._open.pop(key, None)


class _SharedRequest:
    """One request on its way, and those who wait for its answer."""

    def __init__(self, sharing: Sharing, key: Hashable, attempts: Attempts, rule: Rule, number: int) -> None:
        self._is_over = False
        self._sharing = sharing
        self._key = key
        self._attempts = attempts
        self._rule = rule
        self._number = number
        self._members: dict[SharedReply, None] = {}  # as a set that knows who came first
        self._behind: set[SharedReply] = set()
        self._reply: Reply | None = None
        self._kept: list[bytes] = []
        self._kept_bytes = 0
        self._all_taken: asyncio.Future[None] | None = None
        self._task = sharing.runtime.spawn(self._run(), "shared request")

    # --- who takes part --------------------------------------------------------------------------------------------

    def join(self, attempts: Attempts) -> SharedReply:
        """Take part with the request of `attempts`, and be given what has come already."""
        member = SharedReply(self, attempts, is_first=attempts is self._attempts)
        if self._members:
            for other in (*self._members, member):
                other.attempts.shared = self._number
        self._members[member] = None
        if self._reply is not None:
            self._begin(member, self._reply)
            self._give_to(member, self._kept)
        return member

    def leave(self, member: SharedReply) -> None:
        """See `Source`. The request is cancelled when the last one leaves."""
        self._drop(member)
        if not self._members and not self._is_over:
            self._close_door()
            self._task.cancel()

    def taken(self, member: SharedReply) -> None:
        """See `Source`."""
        self._behind.discard(member)
        if not self._behind and self._all_taken is not None and not self._all_taken.done():
            self._all_taken.set_result(None)

    def _drop(self, member: SharedReply) -> None:
        self._members.pop(member, None)
        self.taken(member)

    def _close_door(self) -> None:
        self._sharing.forget(self._key)
        self._kept.clear()

    # --- asking and relaying ---------------------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            reply = await self._attempts.run(self._rule)
            try:
                await self._relay(reply)
            finally:
                reply.close(is_request_sent=True)
        except Exception as exc:  # whatever it is, each exchange deals with it as if it had asked alone
            self._end(exc)

    async def _relay(self, reply: Reply) -> None:
        beginning = await _read_beginning(reply)
        if _is_for_one_client(reply, beginning):
            self._withhold()
        self._reply = reply
        for member in self._members:
            self._begin(member, reply)
        self._give(beginning)
        while not reply.is_complete:
            await self._wait_until_taken()
            content = await reply.read()
            if not content:
                break
            self._give(content)
        self._give(reply.take())
        self._end()

    def _begin(self, member: SharedReply, reply: Reply) -> None:
        self._sharing.runtime.counters.requests_shared += not member.is_first
        member.begin(reply, self._attempts.target)

    def _withhold(self) -> None:
        """The answer is for one of them; the others have to ask for themselves."""
        self._close_door()
        first, *others = self._members
        first.attempts.shared = None
        self._sharing.runtime.counters.answers_not_shared += bool(others)
        for member in others:
            self._drop(member)
            member.withhold()

    def _give(self, content: bytes) -> None:
        """Pass a piece on, and keep it for those who come later, if it is not too much."""
        if not content:
            return
        self._kept_bytes += len(content)
        if self._kept_bytes > KEPT_BYTES:
            self._close_door()
        else:
            self._kept.append(content)
        for member in self._members:
            self._give_to(member, [content])

    def _give_to(self, member: SharedReply, pieces: list[bytes]) -> None:
        if pieces:
            self._behind.add(member)
            member.receive(pieces)

    def _end(self, error: Exception | None = None) -> None:
        self._is_over = True
        self._close_door()
        for member in self._members:
            member.attempts.target = self._attempts.target
            member.end(error)

    async def _wait_until_taken(self) -> None:
        """Wait until everybody has taken what came, but not for ever if only some have not."""
        while self._behind:
            self._all_taken = self._sharing.runtime.loop.create_future()
            try:
                async with asyncio.timeout(self._sharing.patience_s):
                    await self._all_taken
            except TimeoutError:
                self._leave_behind()
            finally:
                self._all_taken = None

    def _leave_behind(self) -> None:
        """Go on without those whom others are waiting for; if all are slow, nobody waits for anybody."""
        if len(self._behind) == len(self._members):
            return
        for member in list(self._behind):
            self._sharing.runtime.counters.sharers_left_behind += 1
            self._drop(member)
            member.end(BadResponse("the client was too slow for the others that share the answer"))


async def _read_beginning(reply: Reply) -> bytes:
    """What has to be read before it is known whom an answer is for: in JSON an instruct has headers for clients."""
    return await read_limited(reply, MAX_BODY_BYTES) if is_json_instruct(reply.headers) else b""


def _is_for_one_client(reply: Reply, beginning: bytes) -> bool:
    if is_for_one_client(reply.headers):
        return True
    if not is_json_instruct(reply.headers):
        return False
    try:
        instruct = parse_instruct(reply.code, reply.reason, reply.headers, beginning)
    except GripError:
        return False  # nobody will get anything of it
    return is_for_one_client(instruct.response.headers)
