"""The table of all settings."""

from __future__ import annotations

import re

import pytest

from holdfast.config.options import Option, Status
from holdfast.config.table import OPTIONS, SECTIONS, suggest_key, suggest_section, suggest_variable, variables

# Every key of routes spec §2.4.
DOCUMENTED = {
    "global": "include libdir rundir ipc_prefix port_offset stats_connection_ttl stats_connection_send",
    "runner": "services http_port https_ports local_ports logdir log_level client_buffer_size client_maxconn "
    "allow_compression condure_bin mongrel2_bin m2sh_bin zurl_bin rundir",
    "proxy": "routesfile debug auto_cross_origin accept_x_forwarded_protocol set_x_forwarded_protocol x_forwarded_for "
    "x_forwarded_for_trusted orig_headers_need_mark accept_pushpin_route cdn_loop log_from log_user_agent sig_iss "
    "sig_key upstream_key sockjs_url updates_check organization_name workers max_open_requests ipc_file_mode "
    "prometheus_port prometheus_prefix stats_connections_max_ttl stats_report_interval connmgr_in_specs "
    "connmgr_in_stream_specs connmgr_out_specs connmgr_client_out_specs connmgr_client_out_stream_specs "
    "connmgr_client_in_specs handler_inspect_spec handler_accept_spec handler_retry_in_spec "
    "handler_ws_control_init_specs handler_ws_control_stream_specs stats_spec command_spec intreq_in_specs "
    "intreq_in_stream_specs intreq_out_specs",
    "handler": "ipc_file_mode push_in_spec push_in_sub_specs push_in_sub_spec push_in_sub_connect push_in_http_addr "
    "push_in_http_port push_in_http_max_headers_size push_in_http_max_body_size stats_spec command_spec state_spec "
    "message_rate message_hwm message_block_size message_wait id_cache_ttl update_on_first_subscription "
    "connection_subscription_max subscription_linger stats_subscription_ttl stats_report_interval stats_format "
    "prometheus_port prometheus_prefix share_all",
}


@pytest.mark.parametrize("section", DOCUMENTED)
def test_every_documented_setting_is_known(section: str) -> None:
    assert [name for name in DOCUMENTED[section].split() if (section, name) not in OPTIONS] == []


@pytest.mark.parametrize("option", OPTIONS.values(), ids=lambda option: option.path)
def test_every_option_is_ready_for_a_reference_page(option: Option) -> None:
    assert re.fullmatch(r"[A-Z`].*\.", option.help)
    assert option.kind.name
    assert option.section in SECTIONS
    option.default(has_file=True)
    option.default(has_file=False)


def test_supported_options_are_the_fields_of_the_settings() -> None:
    supported = [option.key for option in OPTIONS.values() if option.status is Status.SUPPORTED]
    assert ("runner", "http_port") in supported
    assert ("holdfast", "log_format") in supported
    assert ("handler", "state_spec") not in supported


def test_variables() -> None:
    names = variables()
    assert names["HOLDFAST_RUNNER_HTTP_PORT"] is OPTIONS["runner", "http_port"]
    assert names["HOLDFAST_HOLDFAST_LOG_FORMAT"] is OPTIONS["holdfast", "log_format"]
    assert names["HOLDFAST_LOG_FORMAT"] is OPTIONS["holdfast", "log_format"]
    assert names["HOLDFAST_GLOBAL_PORT_OFFSET"] is OPTIONS["global", "port_offset"]


def test_no_short_name_hides_another_setting() -> None:
    names = variables()
    assert all(names[option.variable] is option for option in OPTIONS.values())
    short = [f"HOLDFAST_{option.name.upper()}" for option in OPTIONS.values() if option.section == "holdfast"]
    assert all(names[name].section == "holdfast" for name in short)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (suggest_key("proxy", "debgu"), "; did you mean debug?"),
        (suggest_key("proxy", "push_in_spec"), "; it belongs into [handler]"),
        (suggest_key("proxy", "zzzzzz"), ""),
        (suggest_section("Proxi"), "; did you mean [proxy]?"),
        (suggest_section("zzz"), ""),
        (suggest_variable("HOLDFAST_PROXY_DEBUGS"), "; did you mean HOLDFAST_PROXY_DEBUG?"),
        (suggest_variable("X"), ""),
    ],
)
def test_suggestions(found: str, expected: str) -> None:
    assert found == expected
