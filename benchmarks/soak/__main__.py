"""Half an hour of mixed traffic and of everything that goes wrong in such a time, against one Holdfast.

Run it as ``make soak MINUTES=30`` or ``python -m benchmarks.soak``; ``--help`` lists the options. The exit status is 1
when something was lost, left over, logged that nothing explains, or when memory grew.
"""

from __future__ import annotations

import argparse
import importlib.util
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from benchmarks import machine
from benchmarks.servers import PROJECT
from benchmarks.soak.report import report_lines
from benchmarks.soak.run import Options, run
from benchmarks.soak.samples import write_rows

_CSV = PROJECT / "build" / "soak.csv"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, write down, draw, and tell what was found."""
    options = parse_options(sys.argv[1:] if arguments is None else arguments)
    # SIGHUP too: where it is ignored, as nohup has it, the server would ignore that its log is rotated.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _unwind)
    load_before = machine.load_average()
    findings = run(Options(options.minutes * 60, options.seed, options.interval))
    write_rows(options.csv, findings.rows)
    print(
        f"{machine.today()}, {machine.describe_machine()}, load average before {load_before:.1f}, seed {options.seed}\n"
    )
    print(*report_lines(findings), sep="\n")
    if options.picture is not None:
        if importlib.util.find_spec("matplotlib") is None:
            print("\nno picture: matplotlib is not installed (pip install --group soak)")
        else:
            from benchmarks.soak.picture import draw

            draw(options.csv, options.picture)
    if findings.problems:
        print("\nwhat is wrong:", *findings.problems, sep="\n- ")
    return 1 if findings.problems else 0


def _unwind(number: int, _frame: FrameType | None) -> None:
    """End by an exception, so that all processes are ended too."""
    sys.exit(128 + number)


def parse_options(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line as values."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=30.0, help="how long (default: 30)")
    parser.add_argument("--seed", type=int, default=1, help="repeats a run, as far as chance is ours (default: 1)")
    parser.add_argument("--interval", type=float, default=5.0, metavar="SECONDS", help="between samples (default: 5)")
    parser.add_argument("--csv", type=Path, default=_CSV, metavar="FILE", help="where the samples go")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw them, with matplotlib, as PNG")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
