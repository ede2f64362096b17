"""What the log and the counters say of backends that cannot be connected to for want of descriptors."""

from __future__ import annotations

import errno

import pytest

from holdfast.counters import Counters
from holdfast.net.shortage import AGAIN_S, DescriptorShortage

NOW_S = 1000.0


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
def test_it_is_said_once_and_again_while_it_lasts(caplog: pytest.LogCaptureFixture, number: int) -> None:
    counters = Counters()
    shortage = DescriptorShortage(counters)
    for after_s in (0.0, *[1.0] * 99, AGAIN_S - 0.1):
        shortage.note(OSError(number, "no more"), NOW_S + after_s)
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "cannot connect: no more; requests fail (1 more)" in caplog.text
    shortage.note(OSError(number, "no more"), NOW_S + AGAIN_S)
    assert len(caplog.records) == 2
    assert "(101 more)" in caplog.text
    assert counters.backend_descriptors_missing == 102


def test_other_failures_are_none(caplog: pytest.LogCaptureFixture) -> None:
    counters = Counters()
    DescriptorShortage(counters).note(OSError(errno.ECONNREFUSED, "refused"), NOW_S)
    assert caplog.records == []
    assert counters.backend_descriptors_missing == 0
