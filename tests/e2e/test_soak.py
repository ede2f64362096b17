"""The soak of benchmarks/soak, for a few seconds: so that it works when somebody wants half an hour of it."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest
from tests.harness.proxy import PROJECT
from tests.harness.timing import scaled

SECONDS = 15


@pytest.mark.slow
@pytest.mark.timeout(scaled(180))
def test_nothing_is_lost_in_a_short_one(tmp_path: Path) -> None:
    samples = tmp_path / "soak.csv"
    arguments = ["--minutes", str(SECONDS / 60), "--interval", "1", "--csv", str(samples)]
    command = [sys.executable, "-m", "benchmarks.soak", *arguments]
    result = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=scaled(150))
    assert result.returncode == 0, result.stdout + result.stderr
    with samples.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) > SECONDS / 3
    assert {event for row in rows for event in row["events"].split()} >= {"kill", "start", "rotate", "hangup", "renew"}
    assert any(int(row["publish_count"]) for row in rows)
    assert int(rows[-1]["deliveries_total"]) > 1000
    assert any(int(row["sockjs_sessions"]) for row in rows)
    for kind in ("SockJS polling", "SockJS streaming", "WebSocket", "WebSocket by TLS", "compressed WebSocket"):
        assert f"| messages answered: {kind} |" in result.stdout
    for what in ("requests over ZeroMQ", "TLS handshakes"):
        assert f"| {what} |" in result.stdout
