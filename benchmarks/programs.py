"""The load programs: how they are run against a server, and what they answer."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import IO, Any

from benchmarks.servers import PROGRAMS, Server

LOAD_TIMEOUT_S = 120.0


class LoadFailedError(Exception):
    """A load program could not do its work; the text is what it said."""


@dataclass(frozen=True, slots=True)
class Publishing:
    """``rounds`` rounds, in each of which ``burst`` messages are published at once."""

    rounds: int
    burst: int

    def __str__(self) -> str:
        return f"{self.rounds}x{self.burst}"


def hold(server: Server, clients: int, publishing: Sequence[Publishing], *more: str) -> dict[str, Any]:
    """Hold clients and publish to them; raises LoadFailedError."""
    return run_program("holdload", server, *holding_arguments(server, clients, publishing), *more)


def holding_arguments(server: Server, clients: int, publishing: Sequence[Publishing]) -> tuple[str, ...]:
    """What holdload has to be told in any case."""
    phases = (argument for phase in publishing for argument in ("--publish", str(phase)))
    return ("--control-port", str(server.control_port), "--clients", str(clients), *phases)


def ask(server: Server, requests: int, seconds: int, *more: str, connections: int = 50) -> dict[str, Any]:
    """Send requests or messages over some connections; raises LoadFailedError, also when answers are wrong."""
    limits = ("--requests", str(requests), "--seconds", str(seconds), "--connections", str(connections))
    answer = run_program("reqload", server, *limits, *more)
    if answer["failed"]:
        raise LoadFailedError(f"{answer['failed']} of {answer['requests']} requests were not answered as they should")
    return answer


def run_program(program: str, server: Server, *arguments: str) -> dict[str, Any]:
    """Run a load program and return the object it prints: its source says what the members are."""
    command = _command(program, server, arguments)
    result = subprocess.run(command, capture_output=True, text=True, timeout=LOAD_TIMEOUT_S, check=False)
    return _answer(program, result.returncode, result.stdout, result.stderr)


class ProgramBeside:
    """A load program that runs while something else is measured."""

    def __init__(self, program: str, process: subprocess.Popen[bytes], output: IO[bytes], errors: IO[bytes]) -> None:
        self._program = program
        self._process = process
        self._output = output
        self._errors = errors

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def wait_for(self, member: str) -> None:
        """Wait until it has told this member of its answer; raises LoadFailedError when it ends before that."""
        deadline = time.monotonic() + LOAD_TIMEOUT_S
        while member not in _text(self._output):
            if not self.is_running:
                self.answer()
                raise LoadFailedError(f"{self._program} has not told {member}")
            if time.monotonic() > deadline:
                raise LoadFailedError(f"{self._program} does not tell {member}")
            time.sleep(0.01)

    def answer(self) -> dict[str, Any]:
        """Wait for its end; the object it has printed, or LoadFailedError."""
        code = self._process.wait(LOAD_TIMEOUT_S)
        return _answer(self._program, code, _text(self._output), _text(self._errors))


@contextmanager
def running_beside(program: str, server: Server, *arguments: str) -> Iterator[ProgramBeside]:
    """Run a load program while the block runs, or until it ends by itself."""
    with ExitStack() as stack:
        output, errors = (stack.enter_context(tempfile.TemporaryFile()) for _ in range(2))
        process = subprocess.Popen(_command(program, server, arguments), stdout=output, stderr=errors)
        try:
            yield ProgramBeside(program, process, output, errors)
        finally:
            process.kill()
            process.wait()


def _text(file: IO[bytes]) -> str:
    """All that is in it. The offset is the program's too, so it must not move."""
    return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode(errors="replace")


def _command(program: str, server: Server, arguments: Sequence[str]) -> list[str]:
    pids = ",".join(map(str, server.running.pids()))
    return [str(PROGRAMS / program), "--port", str(server.port), "--pids", pids, *arguments]


def _answer(program: str, code: int, output: str, errors: str) -> dict[str, Any]:
    if code not in (0, 1):  # 1: something was lost, and the answer says what
        raise LoadFailedError(errors.strip() or f"{program} ended with status {code}")
    answer: dict[str, Any] = json.loads(output)
    return answer
