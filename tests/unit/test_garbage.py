"""That collections are measured, and that what there is at the start is left alone."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from holdfast.garbage import THRESHOLDS, GarbageWatch


@pytest.fixture
def watch() -> Iterator[GarbageWatch]:
    thresholds = gc.get_threshold()
    watch = GarbageWatch()
    watch.settle()
    yield watch
    watch.stop()
    gc.unfreeze()
    gc.set_threshold(*thresholds)


def test_the_start_is_settled_and_not_counted(watch: GarbageWatch) -> None:
    assert gc.get_threshold() == THRESHOLDS
    assert gc.get_freeze_count() > 0
    assert watch.collections == 0


def test_collections_are_measured(watch: GarbageWatch) -> None:
    gc.collect()
    once = watch.seconds
    assert watch.collections == 1
    assert watch.longest_s == once > 0
    gc.collect()
    assert watch.collections == 2
    assert watch.seconds > watch.longest_s >= watch.seconds - watch.longest_s


def test_a_stopped_watch_counts_no_more(watch: GarbageWatch) -> None:
    watch.stop()
    gc.collect()
    assert watch.collections == 0
    watch.settle()
