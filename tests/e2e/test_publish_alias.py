"""``pushpin-publish`` is installed beside Python, and is the same as ``holdfast publish``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.harness.proxy import PROJECT
from tests.harness.timing import scaled


def run(*arguments: str) -> tuple[int, str, str]:
    """Run ``pushpin-publish``; its exit code, standard output and standard error."""
    program = shutil.which("pushpin-publish", path=str(Path(sys.executable).parent))
    assert program is not None
    environment = {**os.environ, "PYTHONPATH": str(PROJECT / "src")}
    done = subprocess.run(
        [program, *arguments], capture_output=True, text=True, env=environment, timeout=scaled(15), check=False
    )
    return done.returncode, done.stdout, done.stderr


def test_alias() -> None:
    code, _, error = run("c")
    assert (code, error.strip()) == (1, "Error: must specify content")
    code, output, _ = run("--version")
    assert code == 0
    assert output.startswith("pushpin-publish ")
