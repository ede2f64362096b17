"""The other processes of a soak: clients and publishers, which say in lines of JSON what they have seen."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from types import TracebackType
from typing import Any, Self

from benchmarks.servers import PROJECT

Report = dict[str, Any]


class Companion:
    """A module that runs as a process, while the block runs."""

    def __init__(self, module: str, **values: object) -> None:
        self.reports: queue.SimpleQueue[Report] = queue.SimpleQueue()
        arguments = [str(part) for name, value in values.items() for part in (f"--{name.replace('_', '-')}", value)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.reports.put(json.loads(line))

    def has_ended(self) -> bool:
        """Whether it is over, well or not."""
        return self._process.poll() is not None

    def wait(self, timeout_s: float) -> int:
        """Wait for its end, and for everything that it has to say; returns the exit status.

        Raises:
            subprocess.TimeoutExpired: it does not end.
        """
        status = self._process.wait(timeout_s)
        self._reader.join()
        return status

    def tell(self) -> None:
        """Give it the line that it waits for."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self.has_ended():
            self._process.kill()
        self._process.wait()
        self._reader.join()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()
