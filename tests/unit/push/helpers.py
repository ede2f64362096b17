"""A small world for the tests of `holdfast.push`: fake clients, and a clock and a loop that move when they are told to.

Everything in between is real: plans, holds, registry, timer wheel, publisher, sequencer, updates, fan-out.
"""

from __future__ import annotations

import enum
import itertools
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from holdfast.counters import Counters
from holdfast.grip.filters import Verdict
from holdfast.grip.item import Action, Item, MessageFormat, MessageKind, ResponseFormat, StreamFormat
from holdfast.grip.values import BackendResponse, HoldMode, Instruct, KeepAlive, KeepAliveMode, Subscription
from holdfast.grip.ws_control import Message, SendDelayed, SetKeepAlive
from holdfast.push.channels import Registry
from holdfast.push.dialects import COMPRESSED, PLAIN, Dialect
from holdfast.push.fanout import Fanout
from holdfast.push.following_stream import FollowingStream
from holdfast.push.intake import Phase
from holdfast.push.last_ids import LastIds
from holdfast.push.lending import Borrower, Line
from holdfast.push.link import Link, LinkClock
from holdfast.push.outlet import Framing, HoldContext
from holdfast.push.pacing import Pacer
from holdfast.push.plan import HoldPlan, PlanTable, RouteTerms
from holdfast.push.publisher import Publisher
from holdfast.push.recovering_stream import RecoveringStream, make_stream
from holdfast.push.response_hold import ResponseHold
from holdfast.push.roster import NO_IDS, UNLISTED, Roster
from holdfast.push.run import Receipt
from holdfast.push.sequencer import Sequencer
from holdfast.push.socket_hold import SocketHold
from holdfast.push.stream_hold import StreamHold
from holdfast.push.updates import Updates
from holdfast.statistics.collector import Statistics, Terms
from holdfast.timers import TimerWheel
from holdfast.wire.websocket.close import CloseStatus
from holdfast.wire.websocket.frames import Opcode
from holdfast.wire.websocket.stream import Data, FrameReader, MessageReader, Ping, Pong

if TYPE_CHECKING:
    from holdfast.push.channels import Hold

HTTP11 = Framing(is_http11=True, is_persistent=True, is_bodyless=False)
HTTP10 = Framing(is_http11=False, is_persistent=False, is_bodyless=False)
HEAD = Framing(is_http11=True, is_persistent=True, is_bodyless=True)

ROUTE = RouteTerms()
DEBUG_ROUTE = RouteTerms(is_debug=True)


# --- items and instructs ----------------------------------------------------------------------------------------------


def make_item(
    channel: str,
    *,
    stream: StreamFormat | None = None,
    response: ResponseFormat | None = None,
    meta: dict[str, str] | None = None,
    item_id: str | None = None,
    prev_id: str | None = None,
    no_seq: bool = False,
    size: int | None = None,
) -> Item:
    return Item(channel, item_id, prev_id, no_seq, size, meta or {}, response, stream, None)


def text(
    channel: str,
    content: str,
    *,
    meta: dict[str, str] | None = None,
    item_id: str | None = None,
    prev_id: str | None = None,
    no_seq: bool = False,
) -> Item:
    """An item that appends `content` to streams."""
    stream = StreamFormat(Action.SEND, content.encode())
    return make_item(channel, stream=stream, meta=meta, item_id=item_id, prev_id=prev_id, no_seq=no_seq)


def close(channel: str) -> Item:
    """An item that ends streams."""
    return make_item(channel, stream=StreamFormat(Action.CLOSE))


def answer(channel: str, body: str, code: int = 200, *, item_id: str | None = None, prev_id: str | None = None) -> Item:
    """An item that answers long polls."""
    response = ResponseFormat(Action.SEND, code, body=body.encode())
    return make_item(channel, response=response, item_id=item_id, prev_id=prev_id)


def hint(channel: str, *, item_id: str | None = None, prev_id: str | None = None) -> Item:
    """An item that lets long polls ask again."""
    return make_item(channel, response=ResponseFormat(Action.HINT), item_id=item_id, prev_id=prev_id)


def step(channel: str, number: int, content: str | None = None, *, prev: int | None = None) -> Item:
    """The item `number` of a channel whose items follow one another; past the sequencer, so that gaps reach the hold.

    It appends its number, unless `content` says otherwise.
    """
    before = number - 1 if prev is None else prev
    shown = str(number) if content is None else content
    return text(channel, shown, item_id=str(number), prev_id=str(before), no_seq=True)


def stream_hint(channel: str, *, item_id: str | None = None, prev_id: str | None = None) -> Item:
    """An item that lets streams ask their next link."""
    stream = StreamFormat(Action.HINT)
    return make_item(channel, stream=stream, item_id=item_id, prev_id=prev_id, no_seq=True)


def message(
    channel: str,
    content: str = "",
    *,
    action: Action = Action.SEND,
    kind: MessageKind = MessageKind.TEXT,
    code: int | None = None,
    reason: str = "",
    content_filters: tuple[str, ...] | None = None,
    meta: dict[str, str] | None = None,
    size: int | None = None,
) -> Item:
    """An item for WebSockets."""
    fmt = MessageFormat(action, kind, content.encode(), code, reason, content_filters)
    return Item(channel, None, None, False, size, meta or {}, None, None, fmt)


def both(channel: str, content: str) -> Item:
    """An item for streams and for long polls."""
    return make_item(
        channel,
        stream=StreamFormat(Action.SEND, content.encode()),
        response=ResponseFormat(Action.SEND, body=content.encode()),
    )


def at(prev_id: str | None, channel: str = "c", *filters: str) -> Subscription:
    """A subscription of a client that has the item `prev_id`."""
    return Subscription(channel, prev_id, filters)


def next_link(target: str = "/next", timeout_s: int = 120) -> Link:
    return Link(target, timeout_s)


def keep_alive(data: bytes, timeout_s: int, mode: KeepAliveMode = KeepAliveMode.IDLE) -> KeepAlive:
    return KeepAlive(data, timeout_s, mode)


def make_instruct(
    mode: HoldMode | None,
    *channels: str | Subscription,
    body: bytes = b"kept\n",
    keep_alive: KeepAlive | None = None,
    meta: dict[str, str | None] | None = None,
    timeout_s: int = 55,
) -> Instruct:
    subscriptions = [Subscription(channel) if isinstance(channel, str) else channel for channel in channels]
    response = BackendResponse(200, b"OK", [(b"X-Kept", b"1")], body)
    return Instruct(mode, tuple(subscriptions), timeout_s, keep_alive, meta or {}, None, None, response)


# --- holds that nothing is written to ---------------------------------------------------------------------------------


def make_plan(
    *filters: str, meta: dict[str, str | None] | None = None, channel: str = "c", route: RouteTerms = ROUTE
) -> HoldPlan:
    """The plan of a stream of one channel."""
    return PlanTable(1).plan(make_instruct(HoldMode.STREAM, at(None, channel, *filters), meta=meta), route)[0]


PLAN = make_plan()


@dataclass(eq=False)
class ListableHold:
    """What rosters know of a hold."""

    plan: HoldPlan = PLAN
    roster: Roster[Any] | None = None
    place: int = UNLISTED
    written_at_s: float = 0.0
    followed_ids: Mapping[str, str] = field(default_factory=lambda: NO_IDS)
    kept_up: list[float | None] = field(default_factory=list)
    outlet: FakeOutlet = field(default_factory=lambda: FakeOutlet())

    def on_recalled(self) -> None: ...

    def keep_up(self, followed_ids: Mapping[str, str], at_s: float | None) -> None:
        self.followed_ids = followed_ids
        self.kept_up.append(at_s)


# --- the world --------------------------------------------------------------------------------------------------------


class Mood(enum.Enum):
    """How a client takes what is written to it."""

    TAKES = "takes everything"
    REFUSES = "is slow: the write is lost"
    CUT_OFF = "is slow: the write is lost and the client disconnected"
    GONE = "turns out to have left"
    BREAKS = "raises, which no outlet should"


_direct: weakref.WeakValueDictionary[int, FakeOutlet] = weakref.WeakValueDictionary()


class FakeWriter:
    """See `push.volley.BulkWriter`."""

    def write_all(self, fds: Sequence[int], data: bytes) -> int:
        return sum(_direct[fd].write(data) is True for fd in fds)

    def send_all(self, lines: Sequence[Line], data: bytes) -> int:
        return sum(_direct[line.fileno()].send(data) == len(data) for line in lines)


@dataclass(eq=False)
class FakeOutlet:
    """Records what is written; `mood` says how it answers. It is its own line."""

    mood: Mood = Mood.TAKES
    is_blocked: bool = False
    written: list[bytes] = field(default_factory=list)
    finished: list[tuple[bytes, bool]] = field(default_factory=list)
    on_gone: Callable[[], None] = lambda: None
    fd: int = field(default_factory=itertools.count(1000).__next__)
    borrower: Borrower | None = None

    def __post_init__(self) -> None:
        _direct[self.fd] = self

    @property
    def direct_fd(self) -> int | None:
        """Who is slow has something waiting, and can lose what is written."""
        is_direct = not self.is_blocked and self.mood in (Mood.TAKES, Mood.GONE)
        return self.fd if is_direct else None

    def lend(self, borrower: Borrower) -> Line:
        assert self.direct_fd is not None, "there is nothing to lend"
        self.borrower = borrower
        return self

    def fileno(self) -> int:
        return self.fd

    def send(self, data: bytes, /) -> int:
        assert self.borrower is not None, "sent through a line that has been recalled"
        return len(data) if self.write(data) else 0

    def __setattr__(self, name: str, value: object) -> None:
        """A descriptor that is lent is recalled as soon as it must not be written to."""
        super().__setattr__(name, value)
        borrower = getattr(self, "borrower", None)
        if name in ("mood", "is_blocked") and borrower is not None and self.direct_fd is None:
            self.borrower = None
            borrower.on_recalled()

    def write(self, data: bytes) -> bool | None:
        assert not self.finished, "written to after the end"
        assert data, "an empty write"
        if self.mood is Mood.BREAKS:
            raise RuntimeError("broken outlet")
        if self.mood is Mood.TAKES:
            self.written.append(data)
            return True
        if self.mood is not Mood.REFUSES:
            self.on_gone()
        return None if self.mood is Mood.GONE else False

    def finish(self, data: bytes, *, is_reusable: bool) -> None:
        assert not self.finished, "finished twice"
        self.finished.append((data, is_reusable))

    def describe(self) -> str:
        return "192.0.2.1:5000"


class Client:
    """A held client, and what it has received."""

    def __init__(self, hold: StreamHold | ResponseHold) -> None:
        self.hold = hold
        self.outlet = FakeOutlet(on_gone=hold.on_client_gone)

    @property
    def writes(self) -> list[str]:
        """The content of each write, without framing."""
        if not self.hold.framing.is_http11:
            return [data.decode() for data in self.outlet.written]
        return ["".join(decode_chunks(data)) for data in self.outlet.written]

    @property
    def content(self) -> str:
        """Everything received."""
        return "".join(self.writes)

    @property
    def end(self) -> bytes | None:
        """What ended the response, None while it is held."""
        return self.outlet.finished[0][0] if self.outlet.finished else None

    @property
    def body(self) -> str:
        """The body of the answer to a long poll."""
        assert self.end is not None
        return self.end.partition(b"\r\n\r\n")[2].decode()

    def leave(self) -> None:
        self.hold.on_client_gone()


@dataclass(eq=False)
class FakeSocketOutlet(FakeOutlet):
    """An outlet that also takes what the backend sends; `written` has both."""

    def relay(self, data: bytes) -> None:
        assert self.mood is not Mood.BREAKS
        self.written.append(data)


class SocketClient:
    """A WebSocket, what its client has received, and what its session was asked for."""

    def __init__(self, context: HoldContext, plans: PlanTable, route: RouteTerms, *, dialect: Dialect = PLAIN) -> None:
        self._is_compressed = dialect is COMPRESSED
        self.hold = SocketHold(context, plans, plans.socket_plan(route, (), {}), self, dialect=dialect, origin=None)
        self.outlet = FakeSocketOutlet(on_gone=self.hold.close)
        self.closed: list[CloseStatus] = []
        self.refreshed = 0

    def close_published(self, status: CloseStatus) -> None:
        assert not self.hold.is_open
        self.closed.append(status)

    def refresh(self) -> None:
        self.refreshed += 1

    @property
    def messages(self) -> list[str]:
        """Every whole message; those that are not text begin with their kind. The frames have to be valid."""
        reader = MessageReader(is_masked=False, is_compressed=self._is_compressed, max_message_bytes=10_000_000)
        return [_describe_event(event) for data in self.outlet.written for event in reader.receive(data)]

    @property
    def frames(self) -> list[list[str]]:
        """The content of the frames of each write."""
        reader = FrameReader(is_masked=False, is_compressed=self._is_compressed)
        return [[_describe_event(event) for event in reader.receive(data)] for data in self.outlet.written]

    def leave(self) -> None:
        self.hold.close()


def _describe_event(event: object) -> str:
    assert isinstance(event, Data | Ping | Pong)
    kind = event.opcode.name.lower() if isinstance(event, Data) else type(event).__name__.lower()
    content = event.payload.decode("latin-1")
    return content if kind == "text" else f"{kind}:{content}"


def prev_ids(hold: StreamHold | ResponseHold) -> dict[str, str]:
    """What the hold knows its client to have, or its roster."""
    if isinstance(hold, StreamHold) and hold.roster is not None:
        return dict(hold.roster.ids)
    intake = hold.intake if isinstance(hold, FollowingStream | ResponseHold) else None
    return dict(intake.prev_ids) if intake is not None else {}


def with_intake(client: Client) -> FollowingStream:
    """The hold of a client whose stream does not take every item as it comes."""
    assert isinstance(client.hold, FollowingStream)
    return client.hold


def phase(client: Client) -> Phase:
    """What such a stream is doing."""
    return with_intake(client).intake.phase


def waiting(client: Client) -> int:
    """How many items wait for it."""
    return len(with_intake(client).intake)


def filtered_stream(world: World, link: Link | None = None) -> Client:
    """A stream of `c`, about whose items a filter asks the network, and of `d`."""
    return world.stream(at(None, "c", "http-modify"), "d", link=link)


def let_pass(client: Client, content: bytes) -> None:
    """What is done about the item that waits first, when the network has answered with `content`: begin, ask, tell."""
    rendering = with_intake(client).rendering()
    assert rendering is not None
    next(rendering)
    try:
        rendering.send(Verdict(content=content))
    except StopIteration as done:
        with_intake(client).filtered(done.value)
    else:
        raise AssertionError("the filter asks once more")


def recovering(client: Client | SocketClient) -> RecoveringStream:
    """The hold of a client whose stream follows ids and links."""
    assert isinstance(client.hold, RecoveringStream)
    return client.hold


def decode_chunks(data: bytes) -> list[str]:
    """The chunks of `data`, which must be whole."""
    chunks = []
    while data:
        size, _, data = data.partition(b"\r\n")
        length = int(size, 16)
        chunks.append(data[:length].decode())
        assert data[length : length + 2] == b"\r\n"
        data = data[length + 2 :]
    return chunks


REQUEST = object()
"""What the holds of long polls keep for whoever asks the backend again."""


@dataclass
class FakeBackends:
    """Notes which holds ask their backends for what; the test plays the answers.

    Attributes:
        retried, followed, filtering, ended: the holds, each time they asked.
        since_s: of each of `followed`, when the cause arose.
        shares: whether `follow` says that another stream asks already.
    """

    retried: list[ResponseHold] = field(default_factory=list)
    followed: list[StreamHold] = field(default_factory=list)
    since_s: list[float] = field(default_factory=list)
    filtering: list[Hold] = field(default_factory=list)
    ended: list[Hold] = field(default_factory=list)
    shares: bool = False

    def retry(self, hold: ResponseHold) -> None:
        self.retried.append(hold)

    def follow(self, hold: StreamHold, since_s: float) -> bool:
        self.followed.append(hold)
        self.since_s.append(since_s)
        return not self.shares

    def filter(self, hold: Hold) -> None:
        self.filtering.append(hold)

    def hold_ended(self, hold: Hold) -> None:
        self.ended.append(hold)


class World:
    """Publisher, registry, timers and clients of one process, whose time and turns are in the hands of the test.

    It is put together as the server does it, except that nobody asks backends: `backends` notes who should.

    Args:
        id_cache_ttl_s, linger_s: 0 turns the feature off.
        asks_first: whether long polls ask again after the first subscription of a channel.
    """

    def __init__(
        self,
        *,
        slice_writes: int = 200,
        rate: int | None = None,
        hwm: int | None = None,
        block_size: int | None = None,
        jitter: Sequence[float] = (),
        id_cache_ttl_s: float = 0,
        message_wait_s: float = 5,
        linger_s: float = 0,
        asks_first: bool = False,
    ) -> None:
        self.now_s = 1000.0
        self.turns: list[Callable[[], None]] = []
        self.calls: list[tuple[float, Callable[[], None]]] = []
        self.counters = Counters()
        self.statistics = Statistics(Terms(block_size=block_size), self.counters)
        self.backends = FakeBackends()
        self.wheel = TimerWheel(0.1)
        self.registry = Registry(self.wheel, self.now, linger_s)
        self.last_ids = LastIds()
        self.updates = Updates(self.wheel, self.now, self.call_later)
        self.updates.backends = self.backends
        self.link_clock = LinkClock()
        self.plans = PlanTable(20)
        jitters = iter(jitter)
        self.context = HoldContext(
            self.registry,
            self.wheel,
            self.counters,
            self.now,
            lambda: next(jitters, 0.0),
            self.last_ids,
            self.updates,
            self.link_clock,
            self.statistics,
        )
        is_paced = rate is not None or hwm is not None
        self.fanout = Fanout(
            self.registry,
            self.counters,
            now=self.now,
            schedule=self.turns.append,
            pacer=Pacer(rate=rate, hwm=hwm, block_size=block_size, call_later=self.call_later) if is_paced else None,
            slice_writes=slice_writes,
            statistics=self.statistics,
            writer=FakeWriter(),
        )
        self.sequencer = Sequencer(
            self.last_ids, id_cache_ttl_s=id_cache_ttl_s, message_wait_s=message_wait_s, counters=self.counters
        )
        self.publisher = Publisher(
            self.fanout, self.sequencer, self.registry, self.counters, wheel=self.wheel, now=self.now
        )
        self.registry.events.closed = self.publisher.forget_channel
        if asks_first:
            self.registry.events.opened = self.updates.watch_first_subscription

    @property
    def retried(self) -> list[ResponseHold]:
        """The long polls whose request is to be made again."""
        return self.backends.retried

    # --- clients

    def stream(
        self,
        *channels: str | Subscription,
        framing: Framing = HTTP11,
        route: RouteTerms = ROUTE,
        keep_alive: KeepAlive | None = None,
        meta: dict[str, str | None] | None = None,
        link: Link | None = None,
        origin: object | None = None,
    ) -> Client:
        instruct = make_instruct(HoldMode.STREAM, *channels, keep_alive=keep_alive, meta=meta)
        hold = make_stream(self.context, self.plan(instruct, route), framing, link, origin)
        client = Client(hold)
        hold.open(client.outlet)
        return client

    def resume(
        self,
        client: Client,
        *channels: str | Subscription,
        keep_alive: KeepAlive | None = None,
        meta: dict[str, str | None] | None = None,
        link: Link | None = None,
        origin: object | None = None,
        asked_s: float | None = None,
    ) -> None:
        """The answer of the next link lets a stream go on; it was asked at `asked_s`, or when the cause arose."""
        hold = recovering(client)
        instruct = make_instruct(HoldMode.STREAM, *channels, keep_alive=keep_alive, meta=meta)
        asked_s = self.backends.since_s[-1] if asked_s is None else asked_s
        hold.resume(self.plan(instruct, hold.plan.route), link, origin, asked_s)

    def poll(
        self,
        *channels: str | Subscription,
        framing: Framing = HTTP11,
        route: RouteTerms = ROUTE,
        body: bytes = b"kept\n",
        timeout_s: int = 55,
        meta: dict[str, str | None] | None = None,
        origin: object | None = None,
    ) -> Client:
        instruct = make_instruct(HoldMode.RESPONSE, *channels, body=body, timeout_s=timeout_s, meta=meta)
        hold = ResponseHold(self.context, self.plan(instruct, route), framing, REQUEST, origin)
        client = Client(hold)
        hold.open(client.outlet)
        return client

    def socket(
        self,
        *channels: str | Subscription,
        route: RouteTerms = ROUTE,
        meta: dict[str, str] | None = None,
        is_compressed: bool = False,
        dialect: Dialect = PLAIN,
    ) -> SocketClient:
        client = SocketClient(self.context, self.plans, route, dialect=COMPRESSED if is_compressed else dialect)
        client.hold.open(client.outlet)
        for subscription in channels:
            if isinstance(subscription, str):
                subscription = Subscription(subscription)
            assert client.hold.subscribe(subscription.channel, subscription.filters)
        for name, value in (meta or {}).items():
            client.hold.set_meta(name, value)
        return client

    def plan(self, instruct: Instruct, route: RouteTerms = ROUTE) -> HoldPlan:
        return self.plans.plan(instruct, route)[0]

    # --- publishers

    def publish(self, *items: Item) -> list[Receipt]:
        """Accept items in one call; the receipts fill as turns are run."""
        receipts: list[Receipt] = []
        self.publisher.publish(items, receipts)
        return receipts

    def deliver(self, *items: Item) -> list[tuple[int, int]]:
        """Accept items, run the loop until it is idle, and return (receivers, dropped) of each."""
        receipts = self.publish(*items)
        self.run()
        return [(receipt.receivers, receipt.dropped) for receipt in receipts]

    # --- loop and clock

    def now(self) -> float:
        return self.now_s

    def run_turn(self) -> None:
        """One turn of the loop."""
        turns = self.turns[:]
        self.turns.clear()
        for callback in turns:
            callback()

    def run(self) -> int:
        """Turns until nothing is left to do; returns how many."""
        count = 0
        while self.turns:
            self.run_turn()
            count += 1
        return count

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> None:
        self.calls.append((self.now_s + delay_s, callback))

    def pass_time(self, seconds: float) -> None:
        """Let the clock go on; what falls due is called at its time, the wheel ten times a second as in the server."""
        end_s = round(self.now_s + seconds, 6)
        while True:
            tick_s = round((round(self.now_s * 10, 3) // 1 + 1) / 10, 6)
            due_s = min([round(at_s, 6) for at_s, _ in self.calls] + [tick_s])
            if due_s > end_s:
                break
            self.now_s = max(self.now_s, due_s)
            due = [callback for at_s, callback in self.calls if round(at_s, 6) <= self.now_s]
            self.calls = [call for call in self.calls if round(call[0], 6) > self.now_s]
            for callback in due:
                callback()
            if due_s == tick_s:
                self.wheel.advance(self.now_s)
        self.now_s = end_s

    # --- leaks

    def assert_empty(self) -> None:
        """Nothing is left of the clients: no channel, no timer, no plan, no outstanding write."""
        assert len(self.registry) == 0
        assert len(self.wheel) == 0
        assert self.fanout.backlog == 0
        assert self.fanout.paced == 0
        assert len(self.updates) == 0
        assert self.sequencer.buffered == 0
        assert len(self.link_clock) == 0


def piece(content: str, *, first: bool = False, last: bool = False, opcode: Opcode = Opcode.TEXT) -> Data:
    """A piece of a message of the backend."""
    return Data(opcode, content.encode(), is_first=first, is_last=last, is_fragmented=True)


def every(
    seconds: int, content: str = "k", mode: KeepAliveMode = KeepAliveMode.IDLE, kind: MessageKind = MessageKind.TEXT
) -> SetKeepAlive:
    """An order for a keep-alive."""
    return SetKeepAlive(Message(kind, content.encode()), seconds, mode)


def later(seconds: int, content: str, kind: MessageKind = MessageKind.TEXT) -> SendDelayed:
    """An order for a message sent later."""
    return SendDelayed(Message(kind, content.encode()), seconds)
