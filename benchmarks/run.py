"""Measures Holdfast beside its peers in one run and records the medians in docs/performance.md.

Run it as ``make bench`` or ``python -m benchmarks.run``; ``--help`` lists the options. Every round makes every
measurement once with every server, each time with a fresh one, so that what disturbs the machine for a while disturbs
all of them.
"""

from __future__ import annotations

import argparse
import json
import resource
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from benchmarks import machine, report
from benchmarks.crowd import Crowd
from benchmarks.figures import Figure, Held, Results
from benchmarks.loads import Holding, Load, Polls, Recovery, Requests, RoundTrips
from benchmarks.processes import ServerFailedError
from benchmarks.programs import LoadFailedError, Publishing
from benchmarks.pushing import Posting, Pushing
from benchmarks.servers import PROJECT, Kind, missing_program, started, version_of
from benchmarks.tls_holding import TlsHolding

DOCUMENT = PROJECT / "docs" / "performance.md"
_MANY = 15_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, record; the exit status is 1 when a measurement failed."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = parse_options(arguments)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _unwind)
    build_programs()
    _allow_open_files()
    kinds = _available(options.servers)
    load_before = machine.load_average()
    started_at = time.monotonic()
    results, problems = _measure_all(options, kinds)
    minutes = (time.monotonic() - started_at) / 60
    command = shlex.join(["python", "-m", "benchmarks.run", *arguments])
    how = (
        f"medians of {options.rounds} interleaved rounds, in {minutes:.1f} minutes, "
        f"load average before {load_before:.1f}, by `{command}`"
    )
    body = _body(results, kinds, how)
    print(f"\n{body}")
    if problems:
        print("\nfailed, so nothing is recorded:", *problems, sep="\n- ")
    elif options.write:
        DOCUMENT.write_text(report.replace_between_marks(DOCUMENT.read_text(), body))
        print(f"\nwritten to {DOCUMENT.relative_to(PROJECT)}")
    if options.json is not None:
        options.json.write_text(_as_json(results))
    return 1 if problems else 0


def _unwind(number: int, _frame: FrameType | None) -> None:
    """End by an exception, so that all servers are ended too, and let nothing interrupt that."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    sys.exit(128 + number)


def parse_options(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line as values, with what is not given filled in."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one short round, nothing recorded")
    parser.add_argument("--rounds", type=_positive, help="how often everything is measured (default: 3)")
    parser.add_argument(
        "--servers",
        type=lambda text: [Kind(name) for name in text.split(",")],
        default=list(Kind),
        metavar="NAME,NAME",
        help=f"which ones, of {','.join(Kind)} (default: all that are installed)",
    )
    parser.add_argument(
        "--many-pushpin", action="store_true", help=f"measure Pushpin too with {_MANY:,} clients (slow)"
    )
    parser.add_argument(
        "--write",
        action=argparse.BooleanOptionalAction,
        help=f"record the result in {DOCUMENT.relative_to(PROJECT)} (default: unless --quick)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every single sample here")
    options = parser.parse_args(arguments)
    if options.rounds is None:
        options.rounds = 1 if options.quick else 3
    if options.write is None:
        options.write = not options.quick
    return options


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def plan_loads(options: argparse.Namespace, *, is_first: bool) -> list[Load]:
    """The measurements of one round, or of the first, which has some that take long and hardly vary."""
    if options.quick:
        return _quick_loads()
    own = frozenset({Kind.HOLDFAST})
    many = own | {Kind.PUSHPIN} if options.many_pushpin else own
    once = frozenset(Kind) if is_first else frozenset(Kind) - {Kind.PUSHPIN}
    # What is compared with the C loop, with Nchan and with nginx differs by less than the machine does from one minute
    # to the next.
    close = own | {Kind.FLOOR, Kind.NCHAN}
    kinds_of_clients = (Held.STREAM, Held.EVENT_STREAM, Held.OVER_HTTP)
    again: list[Load] = [
        *(Holding(1000, (Publishing(160, 1),), held, only=close, is_again=True) for held in kinds_of_clients),
        Holding(1000, (Publishing(160, 1),), Held.LINKED_STREAM, only=own, is_again=True),
    ]
    many_again: list[Load] = [
        *(Holding(5000, (Publishing(12, 1),), held, only=close, is_again=True) for held in kinds_of_clients),
        Requests(requests=20_000, seconds=3, only=own | {Kind.NGINX}),
    ]
    every_round: list[Load] = [
        Holding(1000, (Publishing(160, 1), Publishing(10, 20))),
        *again,
        Holding(5000, (Publishing(12, 1), Publishing(3, 20))),
        Holding(1000, (Publishing(160, 1), Publishing(10, 20)), Held.EVENT_STREAM),
        *again,
        Holding(5000, (Publishing(12, 1), Publishing(3, 20)), Held.EVENT_STREAM),
        *many_again,
        *again,
        Holding(1000, (Publishing(160, 1), Publishing(4, 20)), Held.OVER_HTTP),
        *again,
        Holding(5000, (Publishing(12, 1), Publishing(3, 20)), Held.OVER_HTTP, only=once),
        *many_again,
        *again,
        Holding(1000, (Publishing(160, 1), Publishing(4, 20)), Held.LINKED_STREAM, only=own),
        *again,
        Holding(5000, (Publishing(12, 1), Publishing(3, 20)), Held.LINKED_STREAM, only=own),
        *many_again,
        Holding(5000, (Publishing(12, 1), Publishing(3, 20)), Held.RELAYED, only=own),
        Requests(requests=20_000, seconds=3),
        RoundTrips(Held.OVER_HTTP, messages=20_000, seconds=3),
        RoundTrips(Held.RELAYED, messages=20_000, seconds=2),
        Posting(30_000),
        Pushing(60_000),
        TlsHolding(5000, rounds=12),
        Recovery(5000, rounds=5, seconds=3, only=once),
    ]
    only_once: list[Load] = [
        Holding(_MANY, (Publishing(3, 1),), generations=2, only=many),
        Holding(_MANY, (), Held.OVER_HTTP, generations=2, only=many),
        Polls(_MANY, only=many),
        Polls(2000, only=frozenset({Kind.PUSHPIN})),
        Crowd(19_000, idle_s=26, broadcasts=30, seconds=2),
    ]
    return [*every_round, *(only_once if is_first else [])]


def _quick_loads() -> list[Load]:
    """A little of everything."""
    return [
        Holding(1000, (Publishing(20, 1), Publishing(4, 20))),
        Holding(1000, (Publishing(10, 1), Publishing(2, 20)), Held.EVENT_STREAM),
        Holding(1000, (Publishing(10, 1), Publishing(2, 20)), Held.OVER_HTTP),
        Polls(500),
        Requests(requests=5000, seconds=2),
        RoundTrips(Held.OVER_HTTP, messages=5000, seconds=2),
        Recovery(1000, rounds=2, seconds=1),
        Posting(5000),
        Pushing(2000),
        TlsHolding(500, rounds=5),
        Crowd(1000, idle_s=2, broadcasts=200, seconds=1),
    ]


def build_programs() -> None:
    """Build the C programs, where they are older than their sources."""
    missing = machine.missing_build_tool()
    if missing is not None:
        sys.exit(f"{missing} is needed to build the load programs (Debian: apt install gcc make libc6-dev)")
    subprocess.run(["make", "--silent", "-C", str(PROJECT / "benchmarks" / "load")], check=True)


def _allow_open_files() -> None:
    """Servers inherit the limit; the usual soft limit is far below the number of clients."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _available(kinds: Sequence[Kind]) -> list[Kind]:
    available: list[Kind] = []
    for kind in kinds:
        missing = missing_program(kind)
        if missing is None:
            available.append(kind)
        else:
            print(f"without {kind}: {missing} is not installed")
    return available


def _measure_all(options: argparse.Namespace, kinds: Sequence[Kind]) -> tuple[Results, list[str]]:
    """All samples, and the names of the measurements that failed."""
    results = Results()
    problems: list[str] = []
    rounds = options.rounds
    for number in range(1, rounds + 1):
        for load in plan_loads(options, is_first=number == 1):
            for kind in sorted(filter(load.fits, kinds), key=_is_slow):
                label = f"round {number} of {rounds}, {load.title}, {kind.heading}"
                try:
                    with started(kind, has_metrics=isinstance(load, Crowd)) as server:
                        measured = load.measure(server)
                except (LoadFailedError, ServerFailedError, subprocess.TimeoutExpired) as problem:
                    problems.append(label)
                    print(f"{label}: {problem}", flush=True)
                else:
                    results.add(kind, measured)
                    print(f"{label}: {_summary(measured)}", flush=True)
    return results, problems


def _is_slow(kind: Kind) -> bool:
    """Pushpin takes longest: it comes last, so that little time is between the others."""
    return kind is Kind.PUSHPIN


def _summary(measured: dict[Figure, float]) -> str:
    return "; ".join(f"{figure.heading} {report.format_number(value)}" for figure, value in measured.items())


def _body(results: Results, kinds: Sequence[Kind], how: str) -> str:
    """The record of a run: how and on what it was made, the results, and what they say about the goals."""
    versions = ", ".join(version for version in map(version_of, kinds) if version is not None)
    facts = [
        f"- {machine.today()}: {how}",
        f"- {machine.describe_machine()}",
        *([f"- {versions}"] if versions else []),
    ]
    parts = ["\n".join(facts), report.results_table(results), report.goals_table(results)]
    return "\n\n".join(filter(None, parts))


def _as_json(results: Results) -> str:
    samples = {
        figure.heading: {kind.value: values for kind, values in by_kind.items()}
        for figure, by_kind in results.samples.items()
    }
    return json.dumps(samples, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.exit(main())
