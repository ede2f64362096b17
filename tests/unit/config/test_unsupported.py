"""Settings that are known and not had (routes spec §2.4)."""

from __future__ import annotations

import pytest

from holdfast.config.options import Later, Status
from holdfast.config.table import OPTIONS
from holdfast.config.unsupported import INTERNAL, unsupported_options


def test_each_is_named_once_and_says_why() -> None:
    options = unsupported_options()
    assert len({option.key for option in options}) == len(options)
    assert all(option.reason and option.help for option in options)
    assert all((option.later is not None) is (option.status is Status.LATER) for option in options)


def test_what_would_change_the_meaning_of_a_configuration_is_refused() -> None:
    assert OPTIONS["handler", "state_spec"].later is Later.REFUSE


def test_those_that_are_refused_are_off_by_default() -> None:
    refused = [option for option in OPTIONS.values() if option.later is Later.REFUSE]
    assert not any(option.default(has_file=has_file) for option in refused for has_file in (True, False))


@pytest.mark.parametrize(
    ("section", "name"),
    [
        ("proxy", "condure_in_specs"),
        ("proxy", "connmgr_client_out_stream_specs"),
        ("proxy", "stats_spec"),
        ("handler", "proxy_inspect_spec"),
        ("handler", "proxy_intreq_out_stream_specs"),
        ("handler", "m2a_out_specs"),
    ],
)
def test_internal_sockets_are_known(section: str, name: str) -> None:
    option = OPTIONS[section, name]
    assert option.status is Status.IGNORED
    assert option.reason is INTERNAL
