"""Server processes that are started here, found with all their children, and ended for certain.

Each server runs in a session of its own: Ctrl-C in the terminal reaches only the benchmark, which then ends them one by
one. Nothing is ever ended by name.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_START_TIMEOUT_S = 15.0
_STOP_TIMEOUT_S = 6.0


class ServerFailedError(Exception):
    """A server ended or did not open its ports; the text has the end of its output."""


@dataclass(frozen=True, slots=True)
class Running:
    """A server that is running.

    Args:
        pid: the process that was started.
        log_file: everything that it and its children print.
    """

    pid: int
    log_file: Path

    def pids(self) -> tuple[int, ...]:
        """The process and all its descendants, as they are now."""
        return (self.pid, *_descendants(self.pid))

    def log(self) -> str:
        """Everything printed so far."""
        return self.log_file.read_text(errors="replace")


@contextmanager
def running(
    command: Sequence[str],
    log_file: Path,
    ports: Sequence[int],
    environment: Mapping[str, str] | None = None,
) -> Iterator[Running]:
    """Run ``command`` while the block runs, entering the block when its ports are open.

    Args:
        command: the program and its arguments; it stays in the foreground.
        log_file: gets standard output and standard error.
        ports: loopback ports that it opens.
        environment: the whole environment, if not this process's.

    Raises:
        ServerFailedError: it ended, or its ports were not open after 15 seconds.
    """
    with log_file.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=log_file.parent,
            env=None if environment is None else dict(environment),
            start_new_session=True,
        )
    server = Running(process.pid, log_file)
    try:
        _wait_until_open(process, server, ports)
        yield server
        if process.poll() is not None:
            raise ServerFailedError(_obituary(process, server))
    finally:
        _stop(process, server)


def cpu_s(pids: Iterable[int]) -> float:
    """User and system time that processes have used."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _wait_until_open(process: subprocess.Popen[bytes], server: Running, ports: Sequence[int]) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while not all(map(_is_open, ports)):
        if process.poll() is not None or time.monotonic() > deadline:
            raise ServerFailedError(_obituary(process, server))
        time.sleep(0.02)


def _obituary(process: subprocess.Popen[bytes], server: Running) -> str:
    code = process.poll()
    what = "was not ready in time" if code is None else f"ended with status {code}"
    return f"{process.args!r} {what}; its last output:\n{server.log()[-2000:]}"


def _is_open(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _stop(process: subprocess.Popen[bytes], server: Running) -> None:
    family = server.pids()
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_TIMEOUT_S)
    for pid in _still_ours(family, process.pid):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()


def _still_ours(pids: Sequence[int], session: int) -> list[int]:
    """Those of ``pids`` that still run in the session that was made for the server, so no recycled number is hit."""
    ours: list[int] = []
    for pid in pids:
        with suppress(ProcessLookupError):
            if os.getsid(pid) == session:
                ours.append(pid)
    return ours


def _descendants(root: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):  # it ended while we looked
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    found: list[int] = []
    pending = [root]
    while pending:
        direct = children.get(pending.pop(), [])
        found += direct
        pending += direct
    return found
