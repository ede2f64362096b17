"""What is done to the server and to its backends while a soak runs, and when: decided before, from the seed."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from benchmarks.servers import PROJECT
from benchmarks.soak.channels import open_store
from benchmarks.soak.server import Holdfast
from tests.harness.ports import free_port, is_open
from tests.harness.recovery_backend import RecoveryBackend
from tests.harness.timing import eventually

_FAILURE_RATE = 0.01
"""Of the answers of the backend that has the items: errors, broken off ones, slow ones."""
_RECOVERED_S = 3.0
"""After a backend is back, until nothing that fails is its fault any more."""


class Fault(StrEnum):
    """What is done."""

    KILL = "kill"
    START = "start"
    REWRITE = "rewrite"
    REPLACE = "replace"
    HANG_UP = "hangup"
    ROTATE = "rotate"
    RENEW = "renew"


_EVERY_S = {
    Fault.KILL: 75.0,
    Fault.REWRITE: 45.0,
    Fault.REPLACE: 90.0,
    Fault.HANG_UP: 90.0,
    Fault.ROTATE: 120.0,
    Fault.RENEW: 60.0,
}


@dataclass(frozen=True, order=True, slots=True)
class Step:
    """A fault, and when: seconds after the beginning."""

    at_s: float
    fault: Fault


def make_schedule(seconds: float, seed: int) -> list[Step]:
    """All steps in order, each kind at least once; the last outage is over before the end."""
    dice = random.Random(f"{seed} faults")
    steps: list[Step] = []
    for fault, usual_s in _EVERY_S.items():
        every_s = min(usual_s, seconds / 3)
        at_s = every_s * dice.uniform(0.5, 1)
        while at_s < seconds - min(5.0, seconds / 4):
            steps.append(Step(at_s, fault))
            if fault is Fault.KILL:
                steps.append(Step(at_s + dice.uniform(0.1, 3), Fault.START))
            at_s += every_s * dice.uniform(0.7, 1.3)
    return sorted(steps)


class Backends:
    """The processes of the backends, which live and die together.

    Attributes:
        outages: from when until when requests may fail.
    """

    def __init__(self, directory: Path, seed: int) -> None:
        self.port, self.ws_port = free_port(), free_port()
        self.outages: list[tuple[float, float]] = []
        self._zmq_spec = f"ipc://{directory}/requests"
        store, _ = open_store(directory)
        self._directory = directory
        self._recovery = RecoveryBackend(store, _FAILURE_RATE, seed)
        self._process: subprocess.Popen[bytes] | None = None
        self._killed_s = 0.0

    @property
    def addresses(self) -> dict[str, object]:
        """Where Holdfast finds them, and where one of them finds Holdfast, by what the routes call it."""
        return {
            "port": self.port,
            "ws_port": self.ws_port,
            "recovery_port": self._recovery.port,
            "zmq_spec": self._zmq_spec,
        }

    def start(self) -> None:
        """Start both (again), and wait until they answer."""
        values = {
            "--port": self.port,
            "--ws-port": self.ws_port,
            "--zmq-spec": self._zmq_spec,
            "--directory": self._directory,
        }
        arguments = [str(part) for pair in values.items() for part in pair]
        self._process = subprocess.Popen([sys.executable, "-m", "benchmarks.soak.backend", *arguments], cwd=PROJECT)
        self._recovery.start()
        eventually(lambda: is_open(self.port) and is_open(self.ws_port), "the backend to listen", timeout_s=30)
        self._recovery.wait_until_ready()
        if self._killed_s:
            self.outages.append((self._killed_s, time.monotonic() + _RECOVERED_S))

    def kill(self) -> None:
        """End both at once."""
        self._killed_s = time.monotonic()
        self._recovery.kill()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def explain(self, begun_s: float, at_s: float) -> bool:
        """Whether an outage explains what began and failed then."""
        return any(begin_s <= at_s and begun_s <= end_s for begin_s, end_s in self.outages)


def carry_out(fault: Fault, backends: Backends, holdfast: Holdfast) -> None:
    """Do it."""
    match fault:
        case Fault.KILL:
            backends.kill()
        case Fault.START:
            backends.start()
        case Fault.REWRITE | Fault.REPLACE:
            holdfast.write_routes(by_rename=fault is Fault.REPLACE)
        case Fault.HANG_UP:
            holdfast.reload()
        case Fault.ROTATE:
            holdfast.rotate_log()
        case Fault.RENEW:
            holdfast.certificates.renew()
