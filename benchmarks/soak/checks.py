"""What must be true of a soak: of what the log says, of what is left, and of memory over time."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from benchmarks.soak.samples import ZERO_AT_THE_END, Row, slope_of

_NEVER = (
    "drops_message_hwm_total",
    "drops_filter_failed_total",
    "drops_sequence_conflict_total",
    "drops_sequence_full_total",
    "instruct_errors_total",
    "items_duplicate_total",
    "publishes_refused_total",
    "control_messages_refused_total",
    "websockets_malformed_total",
    "subscriptions_refused_total",
    "sockjs_sessions_refused_total",
    "sockjs_sessions_overflowed_total",
    "zhttp_packets_refused_total",
    "zhttp_packets_unsent_total",
)
_TASKS_OF_ITS_OWN = 1
"""The watcher of the routes file."""

MAX_BLOCKS_PER_MINUTE = 500.0
"""Of Python's blocks in use after the first third: a block left by every third connection would be more."""

MAX_KB_PER_MINUTE = 300.0
"""Of resident memory in the second half. It takes its time to come to rest, without any leak: small things that stay
keep the room around them. Half a kilobyte left by every connection would be more."""

SECOND_HALF = 0.5

MAX_HEAP_LEFT_KB = 4000
"""In use of the C library's heap after all clients have left, more than before they came. What is remembered of routes,
addresses and ids is some of it; 300 connections by TLS that stay would be more."""

MAX_BLOCKS_LEFT = 80_000
"""In use of Python's blocks then: five for each of ten thousand ids that are remembered for a minute, and some more."""

_BLOCKS_JUDGED_FROM_S = 300.0
_MEMORY_JUDGED_FROM_S = 1500.0

_EXPLAINED = tuple(
    re.compile(pattern)
    for pattern in (
        r"\[WARN\w*\] .*answer of next link .* broken off",
        r"\[WARN\w*\] .*client .*: ended because of next link",
        r"\[WARN\w*\] .*client .* is too slow: .* disconnected$",
        r"\[WARN\w*\] .*client .*: \d+ items wait already; item lost",
        r"\[WARN\w*\] .*SSL connection is closed$",
        r"\[WARN\w*\] .*certificate .*; the one before stays in use$",
        r"\[WARN\w*\] .*(backend|websocket|WebSocket)",
    )
)
"""Warnings that the faults explain: the backend broke off or is away, a client does not read, or so slowly that too
much waits behind the answer of its next link. That client asks for what was lost, and is seen to have got it. A new
certificate may be there before its key. And uvloop has something to say when a client by TLS is written to that has
just left."""
_WORTH_READING = re.compile(r"^\[(WARN\w*|ERR\w*)\]|Traceback|Exception|Error:")


def remaining(metrics: Mapping[str, float]) -> dict[str, float]:
    """The gauges that are not at rest."""
    values = {name: metrics[name] for name in ZERO_AT_THE_END}
    values["tasks"] -= _TASKS_OF_ITS_OWN
    return {name: value for name, value in values.items() if value}


def log_problems(lines: Iterable[str]) -> list[str]:
    """Lines of the log that nothing explains, each kind once."""
    kinds: Counter[str] = Counter()
    first: dict[str, str] = {}
    for line in lines:
        if _WORTH_READING.search(line) and not any(pattern.search(line) for pattern in _EXPLAINED):
            kind = re.sub(r"\d+", "#", line)[:60]
            kinds[kind] += 1
            first.setdefault(kind, line.rstrip())
    return [f"in the log {count} times: {first[kind]}" for kind, count in kinds.most_common(10)]


def counter_problems(metrics: Mapping[str, float]) -> list[str]:
    """Counters that count what must not happen, and do not have to be zero because of a fault."""
    return [f"{name} is {metrics[name]:g}" for name in _NEVER if metrics[name]]


def leftover_problems(before: Mapping[str, int], after: Mapping[str, int]) -> list[str]:
    """What clients have left in memory; unlike resident memory that does not count what is free."""
    limits = {"heap_used_kb": (MAX_HEAP_LEFT_KB, "kB of the heap"), "python_blocks": (MAX_BLOCKS_LEFT, "blocks")}
    left = [(after[name] - before[name], limit, what) for name, (limit, what) in limits.items()]
    return [f"{more} {what} more are in use than before the clients" for more, limit, what in left if more > limit]


def memory_problems(rows: Sequence[Row]) -> list[str]:
    """Growth of memory, once the run is long enough to tell it from noise."""
    run_s, problems = float(str(rows[-1]["at_s"])), []
    blocks, kb = slope_of(rows, "python_blocks"), slope_of(rows, "rss_kb", skipped=SECOND_HALF)
    if run_s >= _BLOCKS_JUDGED_FROM_S and blocks > MAX_BLOCKS_PER_MINUTE:
        problems.append(f"{blocks:.0f} blocks of Python more every minute; at most {MAX_BLOCKS_PER_MINUTE:g} are noise")
    if run_s >= _MEMORY_JUDGED_FROM_S and kb > MAX_KB_PER_MINUTE:
        problems.append(f"memory grows by {kb:.0f} kB/min in the second half; at most {MAX_KB_PER_MINUTE:g} are noise")
    return problems
