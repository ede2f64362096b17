"""What the process under test uses and keeps: its metrics door and /proc; and somebody else, who must be served."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.harness.client import RawClient, fetch
from tests.harness.timing import eventually

MB = 1_000_000

GONE_WITH_THE_CLIENTS = (
    "open_connections",
    "parked_clients",
    "outboxes",
    "outbox_bytes",
    "channels",
    "hold_plans",
    "held_back_items",
    "waiting_retries",
    "fanout_backlog",
    "farewells",
)
"""Gauges that are zero once every client is gone. That no plan is left shows that nothing waits for a collection."""


def scrape(port: int) -> dict[str, float]:
    """All metrics by name, those with labels left out."""
    values: dict[str, float] = {}
    for line in fetch(port, "/metrics").text.splitlines():
        name, _, value = line.rpartition(" ")
        if not line.startswith("#") and "{" not in name:
            values[name.removeprefix("holdfast_")] = float(value)
    return values


class Watch:
    """One process, by its number and the port of its metrics door."""

    def __init__(self, pid: int, metrics_port: int) -> None:
        self.pid = pid
        self.metrics_port = metrics_port

    def metric(self, name: str) -> float:
        """One metric, by its name without the prefix; a counter also without what its name ends with."""
        values = scrape(self.metrics_port)
        return values[name] if name in values else values[f"{name}_total"]

    def memory(self) -> int:
        """Resident bytes now."""
        return self._status("VmRSS")

    def peak_memory(self) -> int:
        """The most that it was since the start, or since `reset_peak`."""
        return self._status("VmHWM")

    def reset_peak(self) -> None:
        """Forget the peak."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def _status(self, field: str) -> int:
        match = re.search(rf"{field}:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text())
        assert match is not None
        return int(match[1]) * 1024

    def cpu_s(self) -> float:
        """Processor time used so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def descriptors(self) -> int:
        """Open descriptors."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def sockets_in_use(self) -> float:
        """Open descriptors without the idle connections to backends, which come and go."""
        return self.descriptors() - self.metric("backend_idle_connections")

    def wait_empty(self, timeout_s: float = 15.0) -> None:
        """Wait until nothing is left of any client."""
        try:
            eventually(lambda: not self._remains(), "nothing left of any client", timeout_s)
        except AssertionError as exc:
            raise AssertionError(f"{exc}: {self._remains()}") from None

    def _remains(self) -> dict[str, float]:
        values = scrape(self.metrics_port)
        values["tasks"] -= 1  # the watcher of the routes file
        return {name: values[name] for name in (*GONE_WITH_THE_CLIENTS, "tasks") if values[name] > 0}


@contextmanager
def nothing_kept(watch: Watch, *, timeout_s: float = 15.0, spare_descriptors: int = 2) -> Iterator[Watch]:
    """At the end nothing is left of any client, within so many seconds, and of descriptors hardly one more."""
    fetch(watch.metrics_port, "/")
    watch.wait_empty()
    before = watch.sockets_in_use()
    watch.reset_peak()
    yield watch
    watch.wait_empty(timeout_s)
    eventually(lambda: watch.sockets_in_use() <= before + spare_descriptors, "as few descriptors as before")


class Bystander:
    """Somebody else, who asks all the time, on one connection; ``longest_s`` is the longest that an answer took.

    Use it as a context; what goes wrong is raised at its end.
    """

    def __init__(self, port: int, path: str, *, host: str = "localhost", pause_s: float = 0.005) -> None:
        self.longest_s = 0.0
        self.answers = 0
        self._port = port
        self._path = path
        self._host = host
        self._pause_s = pause_s
        self._is_over = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True, name="bystander")

    def __enter__(self) -> Self:
        self._thread.start()
        eventually(lambda: self.answers or self._error, "a first answer")
        self.longest_s = 0.0
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._is_over.set()
        self._thread.join()
        if error is None and self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            with RawClient(self._port) as client:
                while not self._is_over.is_set():
                    start = time.monotonic()
                    client.request(self._path, host=self._host)
                    response = client.read_response(timeout_s=20)
                    assert response.status == 200, response
                    self.longest_s = max(self.longest_s, time.monotonic() - start)
                    self.answers += 1
                    self._is_over.wait(self._pause_s)
        except BaseException as exc:
            self._error = exc


def in_thread(act: Callable[[], object]) -> threading.Thread:
    """Run something in a thread that does not keep the tests from ending."""
    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    return thread
