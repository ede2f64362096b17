"""Settings of Pushpin that Holdfast knows and does not have: those without a point here, and those still to come.

Invariants: the files that Pushpin ships load unchanged; what would change the meaning of a configuration by silently
missing is refused, the rest is named in a warning where it says anything but what holds anyway.
"""

from __future__ import annotations

from typing import Any

from holdfast.config import kinds
from holdfast.config.kinds import Kind, integer
from holdfast.config.options import Later, Option, Status

INTERNAL = "a socket between the processes of Pushpin; there is one process here"

_ONE_PROCESS = "there is one process here"


def unsupported_options() -> tuple[Option, ...]:
    """All of them."""
    return (*_ignored(), *_internal_sockets(), *_later())


def _ignored() -> list[Option]:
    def ignored(section: str, name: str, help: str, reason: str) -> Option:
        return Option(section, name, kinds.TEXTS, help=help, status=Status.IGNORED, reason=reason)

    programs = ("condure_bin", "mongrel2_bin", "m2sh_bin", "zurl_bin")
    return [
        ignored("runner", "services", "The processes to start.", _ONE_PROCESS),
        ignored("runner", "rundir", "Old place of `rundir`.", "it belongs into [global] and counts if that has none"),
        ignored("runner", "logdir", "Directory of log files.", "logs go to standard output or to --logfile"),
        *(ignored("runner", name, "Name of a helper program.", _ONE_PROCESS) for name in programs),
        ignored("proxy", "updates_check", "Whether to ask for new versions.", "nothing is ever reported or checked"),
        ignored("proxy", "organization_name", "Who asks for new versions.", "nothing is ever reported or checked"),
    ]


_CONNECTION_MANAGERS = ("connmgr", "condure", "m2a")
_CLIENT_SOCKETS = (
    "in_specs", "in_stream_specs", "out_specs", "client_in_specs", "client_out_specs", "client_out_stream_specs",
)  # fmt: skip
_PROXY_SOCKETS = (
    *(f"{manager}_{socket}" for manager in _CONNECTION_MANAGERS for socket in _CLIENT_SOCKETS),
    "zurl_in_specs", "zurl_out_specs", "zurl_out_stream_specs",
    "handler_inspect_spec", "handler_accept_spec", "handler_retry_in_spec",
    "handler_ws_control_in_spec", "handler_ws_control_out_spec",
    "handler_ws_control_init_specs", "handler_ws_control_stream_specs",
    "stats_spec", "command_spec",
    "intreq_in_specs", "intreq_in_stream_specs", "intreq_out_specs",
)  # fmt: skip
_HANDLER_SOCKETS = (
    *(f"{manager}_{socket}" for manager in _CONNECTION_MANAGERS for socket in _CLIENT_SOCKETS),
    *(f"proxy_{socket}_spec{plural}" for plural in ("", "s") for socket in (
        "inspect", "accept", "retry_out", "ws_control_in", "ws_control_out", "ws_control_init", "ws_control_stream",
        "stats", "command", "intreq_in", "intreq_out", "intreq_out_stream",
    )),
)  # fmt: skip


def _internal_sockets() -> list[Option]:
    return [
        Option(section, name, kinds.TEXTS, help="Internal socket.", status=Status.IGNORED, reason=INTERNAL)
        for section, names in (("proxy", _PROXY_SOCKETS), ("handler", _HANDLER_SOCKETS))
        for name in names
    ]


def _later() -> list[Option]:
    return [*_later_refused(), *_later_doors(), *_later_with_shipped_value()]


def _option(
    later: Later, path: str, kind: Kind[Any], help: str, reason: str, *, shipped: str = "", unit: str = ""
) -> Option:
    section, _, name = path.partition("/")
    return Option(section, name, kind, shipped, shipped, unit, help, Status.LATER, later, reason)


def _later_refused() -> list[Option]:
    def refused(path: str, kind: Kind[Any], help: str, reason: str) -> Option:
        return _option(Later.REFUSE, path, kind, help, reason)

    return [
        refused(
            "handler/state_spec",
            kinds.TEXT,
            "Socket of a keeper of GRIP session state.",
            "there are no GRIP sessions; leave this empty",
        ),
    ]


def _later_doors() -> list[Option]:
    help, reason = "Mode of the files of ipc sockets.", "the setting of [handler] counts"
    return [_option(Later.WARN_IF_SET, "proxy/ipc_file_mode", kinds.OCTAL, help, reason)]


def _later_with_shipped_value() -> list[Option]:
    def fixed(path: str, kind: Kind[Any], shipped: str, help: str, reason: str, unit: str = "") -> Option:
        return _option(Later.WARN_IF_CHANGED, path, kind, help, reason, shipped=shipped, unit=unit)

    by_handler = "the setting of [handler] counts"
    seconds, count, s = integer(0), integer(1), "seconds"
    return [
        fixed("proxy/stats_connections_max_ttl", seconds, "60", "Interval of peak counts.", by_handler, s),
        fixed("proxy/stats_report_interval", seconds, "10", "Interval of reports.", by_handler, s),
        fixed("proxy/workers", count, "1", "Processes that share the work.", _ONE_PROCESS),
    ]
