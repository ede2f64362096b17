"""What a soak has found, as text."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.report import format_number
from benchmarks.soak.checks import SECOND_HALF
from benchmarks.soak.run import Findings
from benchmarks.soak.samples import Row, slope_of

_SHOWN_METRICS = (
    "connections_accepted_total",
    "requests_received_total",
    "backend_requests_total",
    "deliveries_total",
    "holds_opened_total",
    "websockets_opened_total",
    "sockjs_sessions_opened_total",
    "sockjs_sessions_abandoned_total",
    "tls_handshakes_failed_total",
    "links_followed_total",
    "links_failed_total",
    "slow_clients_disconnected_total",
    "backend_failures_total",
)


def report_lines(findings: Findings) -> Iterator[str]:
    """Tables of what happened, and of how memory and latency were."""
    yield "| What happened | |"
    yield "| --- | ---: |"
    for name, count in sorted(findings.counts.items()):
        yield f"| {name} | {count:,} |"
    for name in _SHOWN_METRICS:
        if name in findings.metrics:
            yield f"| `holdfast_{name}` | {findings.metrics[name]:,.0f} |"
    if not findings.rows:
        return
    yield ""
    yield "| Measured every few seconds | median | worst |"
    yield "| --- | ---: | ---: |"
    for title, column in (
        ("CPU, % of a core", "cpu_percent"),
        ("Resident memory, kB", "rss_kb"),
        ("Python's blocks in use", "python_blocks"),
        ("Open descriptors", "descriptors"),
        ("Publish to client, median, ms", "publish_p50_ms"),
        ("Publish to client, 99th percentile, ms", "publish_p99_ms"),
        ("Publish to client, worst, ms", "publish_max_ms"),
        ("Proxied request, median, ms", "request_p50_ms"),
        ("Proxied request, 99th percentile, ms", "request_p99_ms"),
        ("Proxied request, worst, ms", "request_max_ms"),
    ):
        values = sorted(_number(row, column) for row in findings.rows)
        yield f"| {title} | {format_number(values[len(values) // 2])} | {format_number(values[-1])} |"
    yield ""
    growth = ", ".join(f"{name.upper()} {slope_of(findings.rows, f'{name}_kb'):+.1f}" for name in ("rss", "pss"))
    yield f"Growth of memory after the first third, kB/min: {growth}"
    blocks, kb = slope_of(findings.rows, "python_blocks"), slope_of(findings.rows, "rss_kb", skipped=SECOND_HALF)
    yield f"Python's blocks in use after the first third, per minute: {blocks:+.0f}"
    yield f"Growth of resident memory in the second half, kB/min: {kb:+.1f}"


def _number(row: Row, column: str) -> float:
    return float(str(row[column]))
