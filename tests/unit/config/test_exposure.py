"""What a configuration leaves open although it asks publishers for credentials."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.config.exposure import exposure_notes, is_local
from holdfast.config.settings import HandlerSettings, HoldfastSettings, ProxySettings, Settings


@pytest.mark.parametrize(
    "spec",
    ["", "ipc://x", "inproc://x", "tcp://127.0.0.1:5560", "tcp://127.9.9.9:1", "tcp://localhost:1", "tcp://[::1]:1",
     "tcp://lo:1"],
)  # fmt: skip
def test_local(spec: str) -> None:
    assert is_local(spec)


@pytest.mark.parametrize(
    "spec",
    ["tcp://*:5560", "tcp://0.0.0.0:1", "tcp://[::]:1", "tcp://eth0:1", "tcp://192.0.2.1:1", "tcp://holdfast:1"],
)
def test_not_local(spec: str) -> None:
    assert not is_local(spec)


OPEN = {"push_in_spec": "tcp://*:1", "push_in_sub_specs": ("tcp://*:2", "tcp://*:3"), "command_spec": "tcp://*:4"}


@pytest.mark.parametrize(
    ("ours", "handler", "expected"),
    [
        pytest.param({}, OPEN, [], id="nobody is asked"),
        pytest.param({"publish_key": "k"}, {"push_in_spec": "tcp://127.0.0.1:1"}, [], id="on this machine"),
        pytest.param({"publish_key": "k"}, OPEN, ["push_in_spec", "command_spec", "push_in_sub_specs"], id="key"),
        pytest.param({"publish_token": "t"}, {"command_spec": "tcp://*:4"}, ["command_spec"], id="token"),
        pytest.param({"publish_token": "t"}, {"push_in_sub_spec": "tcp://*:2"}, ["push_in_sub_specs"], id="one"),
        pytest.param(
            {"publish_token": "t"},
            {"push_in_sub_specs": ("tcp://h:2",), "push_in_sub_connect": True},
            [],
            id="connects",
        ),
    ],
)
def test_doors_without_credentials(ours: dict[str, Any], handler: dict[str, Any], expected: list[str]) -> None:
    settings = Settings(holdfast=HoldfastSettings(**ours), handler=HandlerSettings(**handler))
    texts = [note.text for note in exposure_notes(settings)]
    assert [text.partition(":")[0] for text in texts] == [f"handler/{name}" for name in expected]
    assert all("asks for no credentials" in text for text in texts)


@pytest.mark.parametrize(
    ("key", "issuer", "is_warned"),
    [("same", "", True), ("same", "pushpin", True), ("same", "publisher", False), ("other", "", False)],
)
def test_tokens_of_ours_that_publish(key: str, issuer: str, is_warned: bool) -> None:
    """A Grip-Sig header is such a token: with one key for both it would do for publishing."""
    ours = HoldfastSettings(publish_key=key, publish_iss=issuer)
    notes = exposure_notes(Settings(holdfast=ours, proxy=ProxySettings(sig_key="same")))
    assert [note.text.partition(",")[0] for note in notes] == (
        ["holdfast/publish_key is the same as sig_key"] if is_warned else []
    )


def test_an_issuer_alone() -> None:
    (note,) = exposure_notes(Settings(holdfast=HoldfastSettings(publish_iss="me", publish_token="t")))
    assert note.text == "holdfast/publish_iss has no effect without publish_key"
