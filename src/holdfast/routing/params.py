"""The parameters and targets that a line of the routes file can have, for people (routes spec §1.4, §1.5).

Invariants: every name that the parser looks at is here, and no other; what a text becomes is decided in `conditions.py`
and `targets.py`, and which of these have no machinery in `parse.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from holdfast.routing.lines import Section


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a condition or of a target.

    Attributes:
        form: how its text is written; "" for a flag, which is on by being there, whatever its text.
        default: what holds without it; "" for nothing.
        help: one sentence.
    """

    name: str
    form: str
    help: str
    default: str = ""


@dataclass(frozen=True, slots=True)
class TargetForm:
    """One way to name a target."""

    form: str
    help: str


TARGET_FORMS = (
    TargetForm("HOST:PORT", "An HTTP or WebSocket server; without HOST, host and port of the request's URI."),
    TargetForm("[IPV6]:PORT", "The same by IPv6 address."),
    TargetForm("zhttpreq/SPEC", "Backends with a REP socket, which connect to this address, `tcp://` or `ipc://`."),
    TargetForm(
        "zhttp/SPEC",
        "Backends with PULL, ROUTER and PUB sockets, which connect to three addresses: that port and the two after it, "
        "or that file with `-out`, `-out-stream` and `-in`.",
    ),
    TargetForm("test", "The built-in test backend, which says hello."),
)

CONDITION_PARAMETERS: tuple[Parameter, ...] = (
    Parameter("proto", "`http` or `ws`", "Only requests of that kind.", "both"),
    Parameter("ssl", "`yes` or `no`", "Only clients that came by TLS, or only those that did not.", "both"),
    Parameter(
        "path_beg",
        "prefix",
        "Only paths that begin so, compared as the client percent-encodes them, with case; `/foo` takes `/foobar` too.",
        "every path",
    ),
    Parameter(
        "id",
        "text",
        "Name of the route in log lines and statistics, and in a Pushpin-Route header.",
        "made from host and condition",
    ),
    Parameter("sig_iss", "text", "Issuer in the Grip-Sig header.", "`proxy/sig_iss`"),
    Parameter(
        "sig_key",
        "key",
        "Key that signs Grip-Sig, written like `proxy/sig_key`; a `file:` is relative to the routes file.",
        "`proxy/sig_key`",
    ),
    Parameter("prefix", "text", "Put before the name of every channel that backends name."),
    Parameter("orig_headers", "", "Send the client's headers a second time, marked as original."),
    Parameter(
        "as_host", "HOST or HOST:PORT", "Replaces host and port of the URI, for backends and for everything of GRIP."
    ),
    Parameter("path_rem", "number", "Bytes to cut off the front of the path.", "0"),
    Parameter(
        "replace_beg", "prefix", "Replaces what `path_beg` matched; without `path_beg` it is put before the path."
    ),
    Parameter("debug", "", "Tell clients in error responses what went wrong.", "`proxy/debug`"),
    Parameter("aco", "", "CORS headers and JSON-P.", "`proxy/auto_cross_origin`"),
    Parameter("jsonp_mode", "`basic` or `extended`", "How JSON-P is spoken.", "`extended`"),
    Parameter("jsonp_cb", "text", "Query parameter that names the JSON-P callback.", "`callback`"),
    Parameter("jsonp_body", "text", "Query parameter with the body of a JSON-P request.", "`_body`"),
    Parameter("jsonp_defcb", "text", "JSON-P callback of a request that has a body parameter and names none."),
    Parameter(
        "jsonp_defmethod", "method", "Method of a JSON-P request that names none.", "`POST` if basic, `GET` if extended"
    ),
    Parameter("session", "", "Ask for a GRIP session and track it."),
    Parameter("sockjs", "path prefix", "Serve SockJS below this path."),
    Parameter("sockjs_as_path", "path", "Path under which backends see SockJS clients."),
    Parameter(
        "header",
        "Name: value",
        "Set a header of the request, or remove it if the value is empty; may be given several times, and of one name "
        "the first counts.",
    ),
    Parameter("no_grip", "", "No GRIP: no Grip headers to the backend, and its own go to the client."),
    Parameter("log_level", "number", "How much to log about this route."),
)

TARGET_PARAMETERS: tuple[Parameter, ...] = (
    Parameter("ssl", "", "Connect by TLS."),
    Parameter("insecure", "", "Do not verify the certificate."),
    Parameter("trust_connect_host", "", "Verify the certificate against the target's host instead of the URI's."),
    Parameter("client_cert", "path", "PEM file with the certificate to show to the target."),
    Parameter("client_key", "path", "PEM file with its key."),
    Parameter("untrusted", "", "Do not connect to loopback, private and other special addresses."),
    Parameter("host", "HOST or HOST:PORT", "Replaces host and port of the URI, and so the Host header."),
    Parameter(
        "sub", "channel", "Subscribe everything that this target answers to a channel; may be given several times."
    ),
    Parameter("over_http", "", "Carry WebSockets as events in HTTP requests."),
    Parameter("one_event", "", "With `over_http`, one event a request."),
    Parameter("ipc_file_mode", "octal file mode", "Mode of the socket files of an `ipc://` target.", "the system's"),
)


def unknown_parameters(sections: Sequence[Section]) -> Iterator[str]:
    """What a line says that means nothing, one sentence each; the parser ignores it as Pushpin does."""
    for position, section in enumerate(sections):
        parameters, others = CONDITION_PARAMETERS, TARGET_PARAMETERS
        if position > 0:
            parameters, others = others, parameters
        for name, _ in section.props:
            if name not in _names(parameters):
                yield f"unknown parameter {name} is ignored{_suggest(name, parameters, others, position)}"


def _suggest(name: str, parameters: Iterable[Parameter], others: Iterable[Parameter], position: int) -> str:
    if name in _names(others):
        return f"; it belongs after the {'host' if position else 'target'}"
    close = get_close_matches(name, _names(parameters), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _names(parameters: Iterable[Parameter]) -> list[str]:
    return [parameter.name for parameter in parameters]
