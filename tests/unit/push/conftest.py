"""All holds of these tests that can be in a roster are in one after their first run."""

from __future__ import annotations

import pytest

from holdfast.push import subscribers


@pytest.fixture(autouse=True)
def no_crowd_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscribers, "CROWD", 1)
