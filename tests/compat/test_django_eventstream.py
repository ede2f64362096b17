"""django-eventstream with its reliable storage, unmodified: streams of events of which none is lost on the way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.harness.client import Connect, RawClient, fetch
from tests.harness.grip import fresh_channel
from tests.harness.messages import Response
from tests.harness.ports import free_port
from tests.harness.proxy import Launch, ProxyUnderTest
from tests.harness.timing import eventually, scaled
from tests.harness.tokens import make_token

APP = Path(__file__).parent / "eventstream_app"


class Django:
    """The project as a process of its own, under uvicorn."""

    def __init__(self, directory: Path, control_port: int, port: int) -> None:
        self.port = port
        self.control_port = control_port
        self._directory = directory
        self._server: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Serve (again)."""
        arguments = ["--app-dir", str(APP), "--port", str(self.port), "--log-level", "warning", "manage:application"]
        with (self._directory / "django.log").open("ab") as log:
            self._server = subprocess.Popen(
                [sys.executable, "-m", "uvicorn", *arguments],
                env=self._environment(self.control_port),
                stdout=log,
                stderr=log,
            )
        eventually(self._answers, "Django to answer", timeout_s=20)

    def stop(self) -> None:
        """End the server."""
        if self._server is not None:
            self._server.terminate()
            self._server.wait(scaled(10))
            self._server = None

    def manage(self, *arguments: str, control_port: int | None = None) -> None:
        """Run a command of the project, with another address of the proxy if so wished."""
        subprocess.run(
            [sys.executable, str(APP / "manage.py"), *arguments],
            env=self._environment(control_port or self.control_port),
            check=True,
            capture_output=True,
            timeout=scaled(30),
        )

    def _environment(self, control_port: int) -> dict[str, str]:
        grip_url = f"http://127.0.0.1:{control_port}?key=changeme"
        return {**os.environ, "DATABASE": str(self._directory / "db.sqlite3"), "GRIP_URL": grip_url}

    def _answers(self) -> bool:
        try:
            return fetch(self.port, "/nothing").status == 404
        except OSError:
            return False


@dataclass(frozen=True)
class Event:
    """One event of the stream."""

    type: str
    id: str | None
    data: str


class EventSource:
    """What a browser does: a request, then events; it knows the last id that it has seen."""

    def __init__(self, client: RawClient, *channels: str, last_id: str | None = None) -> None:
        self.last_id = last_id
        self._client = client
        self._buffer = ""
        query = "&".join(f"channel={channel}" for channel in channels)
        headers = [("Last-Event-ID", last_id)] if last_id is not None else []
        client.request(f"/events/?{query}", headers=headers)
        self.head: Response = client.read_head(timeout_s=10)

    def next(self, timeout_s: float = 5) -> Event:
        """The next event, comments left out."""
        while "\n\n" not in self._buffer:
            piece = self._client.read_chunk(timeout_s)
            assert piece, "the stream has ended"
            self._buffer += piece.decode()
        text, _, self._buffer = self._buffer.partition("\n\n")
        fields = [line.partition(":")[::2] for line in text.split("\n") if not line.startswith(":")]
        if not fields:
            return self.next(timeout_s)
        values = {name: value.removeprefix(" ") for name, value in fields}
        if "id" in values:
            self.last_id = values["id"]
        return Event(values["event"], values.get("id"), values["data"])

    def texts(self, count: int) -> list[str]:
        """The texts of the next events, which must be messages."""
        events = [self.next() for _ in range(count)]
        assert {event.type for event in events} == {"message"}, events
        return [json.loads(event.data)["text"] for event in events]

    def assert_silent(self, seconds: float) -> None:
        """Assert that nothing comes."""
        assert not self._buffer
        self._client.assert_silent(seconds)

    def close(self) -> None:
        """Leave."""
        self._client.close()


@pytest.fixture(scope="module")
def django_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def proxy(launch: Launch, django_port: int) -> ProxyUnderTest:
    # An item waits that long for the one before it; then the gap is one, and streams ask their next link.
    return launch(f"* 127.0.0.1:{django_port}", settings={"handler": {"message_wait": 500}})


@pytest.fixture(scope="module")
def django(proxy: ProxyUnderTest, django_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Django]:
    django = Django(tmp_path_factory.mktemp("django"), proxy.control_port, django_port)
    django.manage("migrate")
    django.start()
    yield django
    django.stop()


@pytest.fixture
def channel() -> str:
    return fresh_channel()


class Site:
    """The project behind the proxy, as its users see it."""

    def __init__(self, proxy: ProxyUnderTest, django: Django, connect: Connect) -> None:
        self.proxy = proxy
        self.django = django
        self._connect = connect

    def open(self, *channels: str, last_id: str | None = None) -> EventSource:
        """A stream, past its opening event."""
        source = EventSource(self._connect(self.proxy.port), *channels, last_id=last_id)
        assert source.head.status == 200
        assert source.next() == Event("stream-open", None, "")
        return source

    def tell(self, channel: str, text: str) -> None:
        """Send an event by a request through the proxy."""
        assert fetch(self.proxy.port, f"/tell/{channel}", method="POST", body=text.encode()).text == "told\n"

    def lose(self, channel: str, *texts: str) -> None:
        """Send events that are stored, but published where nobody listens."""
        self.django.manage("tell", channel, *texts, control_port=free_port())


@pytest.fixture
def site(proxy: ProxyUnderTest, django: Django, connect: Connect) -> Site:
    return Site(proxy, django, connect)


def test_what_it_orders(site: Site, channel: str) -> None:
    """Its Grip headers, seen without a proxy: the features that the other tests rely on."""
    now_s = int(time.time())
    token = make_token({"iss": "pushpin", "exp": now_s + 60}, b"changeme")
    response = fetch(site.django.port, f"/events/?channel={channel}", headers=[("Grip-Sig", token)])
    assert response.header("Grip-Hold") == "stream"
    channels = response.header("Grip-Channel") or ""
    assert f"events-{channel}; prev-id=0; filter=build-id; filter=skip-users" in channels
    assert "user-anonymous; filter=require-sub" in channels
    assert (response.header("Grip-Keep-Alive") or "").endswith("format=cstring; timeout=20")
    assert f'id_format="{channel}:%(events-{channel})s"' in (response.header("Grip-Set-Meta") or "")
    assert "rel=next" in (response.header("Grip-Link") or "")


def test_events_with_ids(site: Site, channel: str) -> None:
    """What is sent arrives, with ids that the proxy built, and without a trace of GRIP."""
    source = site.open(channel)
    assert source.head.header("Content-Type") == "text/event-stream"
    assert not [name for name in source.head.names() if name.lower().startswith("grip-")]
    for number in range(1, 4):
        site.tell(channel, f"100 % wörld {number}")
        event = source.next()
        assert (event.type, event.id) == ("message", f"{channel}:{number}")
        assert json.loads(event.data) == {"text": f"100 % wörld {number}"}


def test_two_channels(site: Site) -> None:
    """The id of every event tells what the client has of both."""
    one, two = sorted([fresh_channel(), fresh_channel()])
    source = site.open(one, two)
    site.tell(one, "a")
    site.tell(two, "b")
    assert source.texts(2) == ["a", "b"]
    assert source.last_id is not None
    assert sorted(source.last_id.split(",")) == [f"{one}:1", f"{two}:1"]


def test_reconnect(site: Site, channel: str) -> None:
    """A client that comes back with its last id gets what it has missed, then what is new."""
    source = site.open(channel)
    site.tell(channel, "one")
    assert source.texts(1) == ["one"]
    source.close()
    for text in ("two", "three"):
        site.tell(channel, text)
    source = site.open(channel, last_id=source.last_id)
    site.tell(channel, "four")
    assert source.texts(3) == ["two", "three", "four"]
    assert source.last_id == f"{channel}:4"


def test_long_absence(site: Site, channel: str) -> None:
    """More than one answer holds (100 events): the rest comes by a chain of next links, on the same stream."""
    source = site.open(channel)
    site.tell(channel, "0")
    assert source.texts(1) == ["0"]
    source.close()
    site.lose(channel, *map(str, range(1, 251)))
    source = site.open(channel, last_id=source.last_id)
    assert source.texts(250) == [str(number) for number in range(1, 251)]
    site.tell(channel, "251")
    assert source.texts(1) == ["251"]


def test_lost_event(site: Site, channel: str) -> None:
    """The next one shows that it is missing, and the next link has it."""
    source, other = site.open(channel), site.open(channel)
    site.tell(channel, "one")
    assert source.texts(1) == other.texts(1) == ["one"]
    site.lose(channel, "two", "three")
    site.tell(channel, "four")
    assert source.texts(3) == other.texts(3) == ["two", "three", "four"]
    assert source.last_id == f"{channel}:4"
    site.tell(channel, "five")
    assert source.texts(1) == other.texts(1) == ["five"]


def test_restart(site: Site, channel: str) -> None:
    """The backend goes and comes; its clients notice nothing, and lose nothing."""
    source = site.open(channel)
    site.tell(channel, "one")
    assert source.texts(1) == ["one"]  # it is published in a thread, which ends with the server
    site.proxy.settle_first_subscriptions()
    site.django.stop()
    site.django.manage("tell", channel, "two")
    site.lose(channel, "three")
    assert source.texts(1) == ["two"]
    site.django.start()
    site.tell(channel, "four")
    assert source.texts(2) == ["three", "four"]


def test_kick(site: Site, channel: str) -> None:
    """Who loses a permission gets an error and the end of the stream; who reads something else does not."""
    source, other = site.open(channel), site.open(fresh_channel())
    assert fetch(site.proxy.port, f"/kick/{channel}").text == "kicked\n"
    event = source.next()
    assert (event.type, event.id) == ("stream-error", "error")
    assert "forbidden" in event.data
    with pytest.raises(AssertionError, match="the stream has ended"):
        source.next()
    other.assert_silent(0.5)


@pytest.mark.slow
def test_keep_alive(site: Site, channel: str) -> None:
    """A quiet stream gets an event every 20 seconds, less a random part of one."""
    source = site.open(channel)
    start = time.monotonic()
    assert source.next(timeout_s=25) == Event("keep-alive", None, "")
    assert time.monotonic() - start > 18.5
