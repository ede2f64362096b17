"""One soak from its beginning to its end: what is started, what is done meanwhile, and what is found."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.soak.checks import counter_problems, leftover_problems, log_problems, memory_problems, remaining
from benchmarks.soak.faults import Backends, Fault, Step, carry_out, make_schedule
from benchmarks.soak.processes import Companion, Report
from benchmarks.soak.samples import Process, Row, Sampler
from benchmarks.soak.server import LINGER_S, Holdfast
from benchmarks.soak.watched import EVERY_S

_END_S = 90.0
_REST_S = LINGER_S + 12.0
_WARM_UP_S = 1.0


@dataclass(frozen=True, slots=True)
class Options:
    """How a soak is made.

    Args:
        seconds: how long publishers publish.
        seed: decides everything that is left to chance.
        interval_s: between samples.
    """

    seconds: float
    seed: int
    interval_s: float


@dataclass(slots=True)
class Findings:
    """What came of it.

    Attributes:
        rows: the samples.
        counts: what happened, by what it is called.
        problems: what should not have happened.
        metrics: the server's own, at the end.
    """

    rows: list[Row] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)


def run(options: Options) -> Findings:
    """Run it; what goes wrong is in the findings.

    Raises:
        ServerFailedError: the server did not start, or ended.
    """
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="holdfast-soak-")))
        backends = Backends(directory, options.seed)
        stack.callback(backends.kill)
        backends.start()
        holdfast = Holdfast(directory, backends.addresses)
        with holdfast.started() as process:
            soak = _Soak(options, directory, backends, holdfast, process)
            soak.run()
        soak.findings.problems += log_problems(holdfast.log_lines())
        return soak.findings


class _Soak:
    def __init__(
        self, options: Options, directory: Path, backends: Backends, holdfast: Holdfast, process: Process
    ) -> None:
        self.findings = Findings()
        self._options = options
        self._directory = directory
        self._backends = backends
        self._holdfast = holdfast
        self._process = process
        self._incidents: list[tuple[float, float, str]] = []
        self._events: list[str] = []
        self._report: Report = {}

    def run(self) -> None:
        """Everything while the server runs."""
        options, holdfast, findings = self._options, self._holdfast, self.findings
        time.sleep(_WARM_UP_S)
        descriptors_before = self._descriptors()
        before = self._holdfast.memory()
        common = {"seed": options.seed, "directory": self._directory}
        with Companion(
            "benchmarks.soak.clients",
            port=holdfast.port,
            tls_port=holdfast.tls_port,
            interval=options.interval_s,
            **common,
        ) as clients:
            time.sleep(_WARM_UP_S)
            with Companion(
                "benchmarks.soak.publishers",
                control_port=holdfast.control_port,
                push_spec=holdfast.push_spec,
                seconds=options.seconds,
                **common,
            ) as publishers:
                self._work(clients, publishers)
                self._end(publishers, "publishers", _END_S)
            clients.tell()
            self._end(clients, "clients", _END_S)
        self._check_incidents()
        self._check_rest(descriptors_before)
        time.sleep(2 * EVERY_S)
        after = self._holdfast.memory()
        for when, memory in (("at the beginning", before), ("after all clients", after)):
            findings.counts[f"kB of the heap in use {when}"] = memory["heap_used_kb"]
            findings.counts[f"Python's blocks in use {when}"] = memory["python_blocks"]
        findings.problems += leftover_problems(before, after)
        findings.problems += counter_problems(findings.metrics)
        findings.problems += memory_problems(findings.rows)

    def _work(self, clients: Companion, publishers: Companion) -> None:
        """Do what is to be done, and sample, until the publishers have ended."""
        options = self._options
        steps = make_schedule(options.seconds, options.seed)
        start_s = time.monotonic()
        sampler = Sampler(self._process, start_s)
        sample_s = options.interval_s
        while not publishers.has_ended() and not clients.has_ended():
            elapsed_s = time.monotonic() - start_s
            while steps and steps[0].at_s <= elapsed_s:
                self._carry_out(steps.pop(0))
            if elapsed_s >= sample_s:
                self._take_reports(clients)
                row = sampler.row(self._holdfast.metrics(), self._report, self._events)
                self.findings.rows.append(row | self._holdfast.memory())
                self._events.clear()
                sample_s += options.interval_s
            time.sleep(0.05)
        for step in steps:
            if step.fault is Fault.START:
                self._carry_out(step)

    def _carry_out(self, step: Step) -> None:
        carry_out(step.fault, self._backends, self._holdfast)
        self._events.append(step.fault)
        self.findings.counts[f"faults: {step.fault}"] += 1

    def _take_reports(self, companion: Companion) -> None:
        while not companion.reports.empty():
            report = companion.reports.get()
            self.findings.problems += report.get("violations", []) + report.get("problems", [])
            self._incidents += [(begun_s, at_s, text) for begun_s, at_s, text in report.get("incidents", [])]
            if "publish" in report:
                self._report = report
            if "is_last" not in report or report["is_last"]:
                self.findings.counts.update(report["counts"])

    def _end(self, companion: Companion, name: str, timeout_s: float) -> None:
        try:
            status = companion.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.findings.problems.append(f"the {name} did not end within {timeout_s:g} s")
        else:
            if status:
                self.findings.problems.append(f"the {name} ended with status {status}")
        self._take_reports(companion)

    def _check_incidents(self) -> None:
        unexplained = [text for begun_s, at_s, text in self._incidents if not self._backends.explain(begun_s, at_s)]
        self.findings.counts["failures explained by outages"] = len(self._incidents) - len(unexplained)
        self.findings.problems += [f"failed without an outage: {text}" for text in unexplained[:20]]
        if len(unexplained) > 20:
            self.findings.problems.append(f"... and {len(unexplained) - 20} more")

    def _check_rest(self, descriptors_before: int) -> None:
        """Whether everything is gone that belonged to clients."""
        deadline_s = time.monotonic() + _REST_S
        while True:
            metrics = self._holdfast.metrics()
            descriptors = self._descriptors() - int(metrics["backend_idle_connections"])
            rest = remaining(metrics)
            if (not rest and descriptors <= descriptors_before) or time.monotonic() > deadline_s:
                break
            time.sleep(0.2)
        self.findings.metrics = metrics
        if rest:
            self.findings.problems.append(f"left after all clients have gone: {rest}")
            self.findings.problems += [f"a task that is there then: {task}" for task in self._holdfast.tasks()]
        if descriptors > descriptors_before:
            self.findings.problems.append(f"{descriptors} open descriptors, before there were {descriptors_before}")

    def _descriptors(self) -> int:
        """How many are open, without a metrics connection that is just being closed."""
        counts = []
        for _ in range(3):
            time.sleep(0.05)
            counts.append(self._process.descriptors())
        return min(counts)
