from __future__ import annotations

import pytest

from holdfast.wire.zhttp.packets import Condition


@pytest.mark.parametrize("condition", list(Condition))
def test_conditions_after_which_another_target_is_tried(condition: Condition) -> None:
    """ws spec §6, §7.6"""
    names = (b"remote-connection-failed", b"connection-timeout", b"tls-error")
    assert condition.is_connect_failure is (condition.value in names)
