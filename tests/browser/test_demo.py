"""The demo as its user meets it: `holdfast demo`, the page in a real browser, and the commands that the page shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from tests.harness.ports import free_port
from tests.harness.timing import eventually, scaled
from websockets.sync.client import connect

from holdfast.demo.backend import MAX_CHARACTERS

pytestmark = pytest.mark.browser

PROJECT = Path(__file__).resolve().parents[2]
PANES = ("stream", "events", "poll", "socket")


@contextmanager
def running_demo(port: int, control_port: int, output: Path) -> Iterator[str]:
    """Start the demo, wait until it is there, at the URL that it says, and end it."""
    with output.open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "holdfast", "demo", "--port", str(port), "--control-port", str(control_port)],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": str(PROJECT / "src"), "PYTHONUNBUFFERED": "1"},
        )
    try:
        yield _announced_url(process, output)
        process.terminate()
        assert process.wait(scaled(8)) == 0, output.read_text()
    finally:
        process.kill()
        process.wait()


def _announced_url(process: subprocess.Popen[bytes], output: Path) -> str:
    def url() -> str | None:
        assert process.poll() is None, f"the demo ended:\n{output.read_text()}"
        found = re.search(r"^Holdfast demo: (http://\S+)$", output.read_text(), re.MULTILINE)
        return found[1] if found else None

    def answers() -> bool:
        announced = url()
        try:
            return announced is not None and requests.get(announced, timeout=scaled(5)).ok
        except requests.ConnectionError:
            return False

    eventually(answers, "the demo says where it is, and is there", timeout_s=15)
    return url() or ""


@pytest.fixture(scope="module")
def demo_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_demo(free_port(), free_port(), tmp_path_factory.mktemp("demo") / "output") as url:
        yield url


class Page:
    """What the user sees of the page."""

    def __init__(self, browser: Chrome, url: str) -> None:
        self.browser = browser
        browser.get(url)

    def states(self) -> dict[str, str]:
        """The state that each pane shows."""
        return {name: self._find(f"#{name} .state") for name in PANES}

    def messages(self, pane: str) -> list[str]:
        """The messages in the log of a pane, newest first."""
        entries = self.browser.find_elements(By.CSS_SELECTOR, f"#{pane} .log li:not(.note) .text")
        return [entry.text for entry in entries]

    def counter(self, pane: str, name: str) -> int:
        """The number under the name of a counter."""
        return int(self._find(f'#{pane} [data-count="{name}"]'))

    def command(self, name: str) -> str:
        """A command that the page shows for the terminal."""
        return self._find(f"#{name}")

    def console(self) -> list[dict[str, object]]:
        """What the page and the browser wrote to the console since the last call."""
        entries: list[dict[str, object]] = self.browser.execute("getLog", {"type": "browser"})["value"]
        return entries

    def result(self) -> str:
        """What the page says about the message that was sent last."""
        return self._find("#result")

    def write(self, text: str) -> None:
        """Type into the box, over what is there."""
        box = self.browser.find_element(By.ID, "text")
        box.clear()
        box.send_keys(text)

    def send(self, text: str) -> None:
        """Type a message and press the button."""
        self.write(text)
        self.browser.find_element(By.CSS_SELECTOR, "#composer button").click()

    def say(self, text: str) -> None:
        """Type a message into the WebSocket's own box and press its button."""
        box = self.browser.find_element(By.ID, "chat-text")
        box.clear()
        box.send_keys(text)
        self.browser.find_element(By.CSS_SELECTOR, "#chat button").click()

    def wait_connected(self) -> None:
        """Wait until every pane says that it is connected."""
        eventually(lambda: set(self.states().values()) == {"connected"}, "four connected panes", timeout_s=15)

    def wait_message(self, text: str) -> None:
        """Wait until the newest message of every pane is `text`."""
        eventually(lambda: all(self.messages(pane)[:1] == [text] for pane in PANES), f"{text!r} in every pane")

    def _find(self, selector: str) -> str:
        return self.browser.find_element(By.CSS_SELECTOR, selector).text


@pytest.fixture
def page(browser: Chrome, demo_url: str) -> Iterator[Page]:
    """The page with four connected panes; at the end its console must be clean."""
    page = Page(browser, demo_url)
    page.wait_connected()
    yield page
    assert page.console() == []


def test_a_message_from_the_box_arrives_in_every_pane(page: Page) -> None:
    page.send("Hello, everyone")
    page.wait_message("Hello, everyone")
    page.wait_connected()
    page.send('<b>it\'s</b> "quoted" & größer')
    page.wait_message('<b>it\'s</b> "quoted" & größer')
    eventually(lambda: re.match(r"Delivered to \d+ clients, and in all four panes \d+ ms", page.result()), "the result")
    assert [page.counter(pane, "messages") for pane in PANES] == [2, 2, 2, 2]
    assert page.counter("poll", "requests") == 3
    assert page.counter("events", "reconnects") == 0


def test_what_is_said_on_the_websocket_arrives_in_every_pane(page: Page, demo_url: str) -> None:
    with connect(demo_url.replace("http", "ws") + "socket") as other:
        assert other.recv() == "The backend accepted this WebSocket. Holdfast holds it."
        page.say("Hello from here")
        page.wait_message("Hello from here")
        pattern = r"Sent over the WebSocket, and in all four panes \d+ ms after the click\."
        eventually(lambda: re.fullmatch(pattern, page.result()), "the result")
        assert other.recv(timeout=scaled(5)) == "Hello from here"
        other.send("And hello from there")
        page.wait_message("And hello from there")
    assert page.counter("socket", "sent") == 1
    assert [page.counter(pane, "messages") for pane in PANES] == [2, 2, 2, 2]


def test_what_is_not_published_is_told_to_its_sender_only(page: Page, demo_url: str) -> None:
    with connect(demo_url.replace("http", "ws") + "socket") as other:
        other.recv()
        other.send("x" * (MAX_CHARACTERS + 1))
        assert other.recv(timeout=scaled(5)) == f"A message has at most {MAX_CHARACTERS} characters."
    page.say("for all")
    page.wait_message("for all")
    assert page.messages("socket") == ["for all"]


def test_the_commands_on_the_page_work(page: Page) -> None:
    page.write('it\'s "quoted" & from curl')
    stream = subprocess.Popen(page.command("curl-stream").split(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert stream.stdout is not None
        assert b"The backend opened this stream" in stream.stdout.readline()
        subprocess.run(page.command("curl-publish"), shell=True, check=True, capture_output=True)
        assert stream.stdout.readline().decode() == 'it\'s "quoted" & from curl\n'
    finally:
        stream.kill()
        stream.communicate()
    page.wait_message('it\'s "quoted" & from curl')


def test_the_page_fits_a_phone(page: Page) -> None:
    page.browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 360, "height": 700, "deviceScaleFactor": 1, "mobile": True}
    )
    assert page.browser.execute_script("return document.documentElement.scrollWidth") == 360


def test_the_page_loads_nothing_from_elsewhere(page: Page, demo_url: str) -> None:
    urls = page.browser.execute_script("return performance.getEntriesByType('resource').map(entry => entry.name)")
    assert urls
    assert all(url.startswith(demo_url) for url in urls)


def test_panes_reconnect_when_the_demo_is_restarted(browser: Chrome, tmp_path: Path) -> None:
    ports = free_port(), free_port()
    with running_demo(*ports, tmp_path / "first") as url:
        page = Page(browser, url)
        page.wait_connected()
    eventually(lambda: "connected" not in page.states().values(), "panes that know it")
    with running_demo(*ports, tmp_path / "second"):
        page.wait_connected()
        page.send("back again")
        page.wait_message("back again")
        assert page.counter("stream", "messages") == 1
