"""Every accepted item reaches each subscriber once and in order, or a counter says why not; and then nothing is left.

Streams, polls and WebSockets come and leave at any moment, while items are published, routes are read again, requests
fail, and other clients break off. ``HOLDFAST_SURVIVAL_SEED`` repeats a run, ``HOLDFAST_SURVIVAL_S`` makes it longer.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable

import pytest
from tests.harness.backend import AnyReply, RawReply, Reply
from tests.harness.client import RawClient, fetch
from tests.harness.grip import Stage, fresh_channel, poll_reply, stream_reply
from tests.harness.links import NextLink
from tests.harness.messages import Request
from tests.harness.publish import Item, publish_ok
from tests.harness.timing import scaled
from tests.harness.watch import Watch, in_thread
from tests.harness.websocket import WebSocketClient
from tests.harness.ws_events import events_reply, opening
from tests.harness.ws_stage import WebSocketStage, control, frame_as_event

SEED = int(os.environ.get("HOLDFAST_SURVIVAL_SEED") or random.SystemRandom().randrange(1_000_000))
SECONDS = float(os.environ.get("HOLDFAST_SURVIVAL_S", "6"))
CLIENTS_OF_A_KIND = 8
LAST = "last"
DROPS = ("drops_outbox_full", "drops_queue_full", "drops_message_hwm", "slow_clients_disconnected")


class Session:
    """One connection of a subscriber: what it received, in order."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.is_at_end = False

    def take(self, lines: str) -> None:
        for line in lines.split():
            if line == LAST:
                self.is_at_end = True
            else:
                self.numbers.append(int(line))

    def assert_once_and_in_order(self) -> None:
        first = self.numbers[0] if self.numbers else 0
        assert self.numbers == list(range(first, first + len(self.numbers))), f"seed {SEED}: {self.numbers}"


def make_item(channel: str, content: str) -> Item:
    formats = {
        "http-stream": {"content": f"{content}\n"},
        "http-response": {"body": f"{content}\n"},
        "ws-message": {"content": f"{content}\n"},
    }
    return {"channel": channel, "formats": formats}


class Traffic:
    """Everything that happens at once."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.channel = channel = fresh_channel()
        self.is_over = threading.Event()
        self.sessions: list[Session] = []
        self.accepted = 0
        self.failures: list[BaseException] = []
        link = NextLink(stage.backend)
        link.answers(RawReply([]), Reply(500), link.holds(channel))
        backend = stage.backend
        self.stream_paths = [backend.serve(stream_reply(channel)), backend.serve(link.holds(channel))]
        self.poll_path = backend.serve(poll_reply(channel))
        self.failing_path = backend.serve_in_turn(RawReply([]), Reply(500), RawReply([b"HTTP"], resets=True), Reply())
        self.events_path = backend.serve(self._answer_events)

    def _answer_events(self, request: Request) -> AnyReply:
        if request.body.startswith(b"OPEN"):
            return opening(frame_as_event(control("subscribe", channel=self.channel)), grip=True)
        return events_reply()

    def guarded(self, act: Callable[[random.Random], None], number: int) -> Callable[[], None]:
        """Do something again and again until the end; what goes wrong is kept."""

        def run() -> None:
            dice = random.Random(f"{SEED} {act.__name__} {number}")
            try:
                while not self.is_over.is_set():
                    act(dice)
            except BaseException as exc:
                self.failures.append(exc)

        return run

    def _stay(self, dice: random.Random, read: Callable[[Session], None]) -> None:
        """Be subscribed for a while, or to the end."""
        session = Session()
        until = time.monotonic() + dice.choice((0.05, 0.5, 2.0, 60.0))
        while not session.is_at_end and (time.monotonic() < until):
            try:
                read(session)
            except TimeoutError:
                continue
        self.sessions.append(session)

    def stream(self, dice: random.Random) -> None:
        with RawClient(self.stage.proxy.port) as client:
            client.request(dice.choice(self.stream_paths))
            client.read_head()
            self._stay(dice, lambda session: session.take(client.read_chunk(0.2).decode()))
            if dice.random() < 0.3:
                client.reset()

    def websocket(self, dice: random.Random) -> None:
        with RawClient(self.stage.proxy.port) as connection:
            client = WebSocketClient(connection)
            client.handshake(self.events_path, host="events")
            client.accepted()

            def read(session: Session) -> None:
                session.take(client.read(0.2).payload.decode())
                if dice.random() < 0.02:
                    client.send_text("hello")

            self._stay(dice, read)

    def poll(self, dice: random.Random) -> None:
        with RawClient(self.stage.proxy.port) as client:
            for _ in range(20):
                client.request(self.poll_path)
                if dice.random() < 0.1:
                    return
                try:
                    assert client.read_response(timeout_s=1).status == 200
                except TimeoutError:
                    return

    def disturb(self, dice: random.Random) -> None:
        port = self.stage.proxy.port
        choice = dice.random()
        if choice < 0.3:
            assert fetch(port, self.failing_path).status in (200, 500, 502)
        elif choice < 0.6:
            with RawClient(port) as client:
                client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf"[: dice.randrange(60)])
                client.reset()
        elif choice < 0.7:
            self.stage.proxy.send_signal(signal.SIGHUP)
        time.sleep(dice.random() * 0.02)

    def publish(self, dice: random.Random) -> None:
        size = dice.choice((1, 1, 1, 5, 40))
        items = [make_item(self.channel, str(number)) for number in range(self.accepted, self.accepted + size)]
        publish_ok(self.stage.proxy.control_port, *items)
        self.accepted += size
        time.sleep(dice.random() * 0.02)


@pytest.mark.slow
def test_every_item_once_and_in_order(watch: Watch, stage: Stage, ws: WebSocketStage) -> None:
    print(f"HOLDFAST_SURVIVAL_SEED={SEED}")
    traffic = Traffic(stage)
    before = {name: watch.metric(name) for name in DROPS}
    kinds = (traffic.stream, traffic.websocket, traffic.poll, traffic.disturb)
    threads = [in_thread(traffic.guarded(kind, number)) for kind in kinds for number in range(CLIENTS_OF_A_KIND)]
    publisher = in_thread(traffic.guarded(traffic.publish, 0))
    time.sleep(SECONDS)
    traffic.is_over.set()
    publisher.join(scaled(5))
    time.sleep(0.3)
    publish_ok(stage.proxy.control_port, make_item(traffic.channel, LAST))
    for thread in threads:
        thread.join(scaled(10))
        assert not thread.is_alive(), f"seed {SEED}: somebody waits for the last item"
    assert not traffic.failures, f"seed {SEED}: {traffic.failures}"
    assert traffic.accepted > 100
    drops = {name: watch.metric(name) - before[name] for name in DROPS}
    print(f"{traffic.accepted} items, {len(traffic.sessions)} sessions, dropped: {drops}")
    assert not any(drops.values())
    for session in traffic.sessions:
        session.assert_once_and_in_order()
        assert not session.is_at_end or not session.numbers or session.numbers[-1] == traffic.accepted - 1
    assert sum(session.is_at_end for session in traffic.sessions) >= 1
