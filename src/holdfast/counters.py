"""What Holdfast counts: one slotted record of plain integers, incremented where things happen.

The doors (metrics, statistics, JSON answers) only render it. Counters never go down; what can is a gauge and is asked
of the part that owns it. An increment is the whole cost, so the fan-out counts per group, not per receiver.
"""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(slots=True, eq=False)
class Counters:
    """Totals since the start of the process. Field names are the metric names; docs are in `HELP`."""

    connections_accepted: int = 0
    accept_failures: int = 0
    tls_handshakes_failed: int = 0
    client_timeouts: int = 0
    requests_received: int = 0
    requests_malformed: int = 0
    request_errors: int = 0
    backend_requests: int = 0
    backend_failures: int = 0
    backend_retries: int = 0
    backend_failovers: int = 0
    backend_descriptors_missing: int = 0
    requests_shared: int = 0
    answers_not_shared: int = 0
    sharers_left_behind: int = 0
    responses_truncated: int = 0
    instruct_errors: int = 0
    holds_opened: int = 0
    holds_timed_out: int = 0
    holds_abandoned: int = 0
    holds_retried: int = 0
    links_followed: int = 0
    links_shared: int = 0
    links_failed: int = 0
    streams_unlinked: int = 0
    gone_reported: int = 0
    gone_reports_failed: int = 0
    filter_requests: int = 0
    keep_alives_sent: int = 0
    websockets_opened: int = 0
    websockets_rejected: int = 0
    websockets_malformed: int = 0
    websockets_broken_off: int = 0
    sockjs_sessions_opened: int = 0
    sockjs_sessions_refused: int = 0
    sockjs_sessions_abandoned: int = 0
    sockjs_sessions_overflowed: int = 0
    websocket_requests: int = 0
    websocket_retries: int = 0
    websocket_pings_superseded: int = 0
    control_messages_refused: int = 0
    zhttp_packets_refused: int = 0
    zhttp_packets_unclaimed: int = 0
    zhttp_packets_unsent: int = 0
    zhttp_sequence_faults: int = 0
    zhttp_windows_exceeded: int = 0
    zhttp_timeouts: int = 0
    farewells_refused: int = 0
    items_received: int = 0
    items_duplicate: int = 0
    items_buffered: int = 0
    items_released_late: int = 0
    items_not_needed: int = 0
    ids_forgotten_early: int = 0
    publishes_refused: int = 0
    publishes_unauthorized: int = 0
    control_pages_refused: int = 0
    deliveries: int = 0
    deliveries_filtered: int = 0
    drops_outbox_full: int = 0
    drops_message_hwm: int = 0
    drops_filter_failed: int = 0
    drops_queue_full: int = 0
    drops_sequence_conflict: int = 0
    drops_sequence_full: int = 0
    drops_channel_gone: int = 0
    drops_socket_closed: int = 0
    slow_clients_disconnected: int = 0
    talkative_clients_disconnected: int = 0
    subscriptions_refused: int = 0


HELP: dict[str, str] = {
    "connections_accepted": "Client connections accepted",
    "accept_failures": "Times that no client could be accepted, for want of descriptors or memory",
    "tls_handshakes_failed": "Client connections that ended with their TLS handshake",
    "client_timeouts": "Client connections closed because they were silent or too slow",
    "requests_received": "Requests received from clients",
    "requests_malformed": "Requests refused because they were not valid HTTP",
    "request_errors": "Requests answered with an error made by the proxy",
    "backend_requests": "Requests sent to backends",
    "backend_failures": "Requests that no backend answered",
    "backend_retries": "Requests sent again because a pooled connection had gone stale",
    "backend_failovers": "Attempts that moved on to the next target of a route",
    "backend_descriptors_missing": "Connections to backends that could not be opened, for want of descriptors",
    "requests_shared": "Requests answered with what another request had asked",
    "answers_not_shared": "Answers that several requests waited for and that were for one client only",
    "sharers_left_behind": "Clients cut off because they were too slow for others that shared their answer",
    "responses_truncated": "Responses that a backend broke off in the middle",
    "instruct_errors": "Instructs that were not understood",
    "holds_opened": "Holds opened",
    "holds_timed_out": "Response holds answered because their time was up",
    "holds_abandoned": "Holds whose client left first",
    "holds_retried": "Long polls whose backend was asked again on their behalf",
    "links_followed": "Streams that asked their next link",
    "links_shared": "Streams whose next link was answered by what another stream had asked",
    "links_failed": "Next links that did not answer properly; most are asked again",
    "streams_unlinked": "Streams that ended because their next link could not be followed",
    "gone_reported": "Backends told that a client is gone",
    "gone_reports_failed": "Backends that could not be told, or did not like it, that a client is gone",
    "filter_requests": "Requests made by filters of holds",
    "keep_alives_sent": "Keep-alive writes to stream holds",
    "websockets_opened": "WebSockets accepted",
    "websockets_rejected": "WebSocket handshakes that the backend did not accept",
    "websockets_malformed": "WebSockets ended because the client broke the protocol",
    "websockets_broken_off": "WebSockets ended because the backend failed or broke off",
    "sockjs_sessions_opened": "Sessions of SockJS clients over HTTP begun; their WebSockets are counted if accepted",
    "sockjs_sessions_refused": "SockJS clients over HTTP refused because there were too many sessions",
    "sockjs_sessions_abandoned": "SockJS sessions ended because the client had stopped asking",
    "sockjs_sessions_overflowed": "SockJS sessions ended because too much waited for the client",
    "websocket_requests": "Requests that carried WebSocket events to backends",
    "websocket_retries": "Such requests made again because the backend could not be reached",
    "websocket_pings_superseded": "Pings and pongs that no web server got because too many newer ones waited with them",
    "control_messages_refused": "Control messages of WebSocket backends that were not understood, or asked too much",
    "zhttp_packets_refused": "Messages of ZeroMQ backends that were not understood",
    "zhttp_packets_unclaimed": "Packets of ZeroMQ backends about exchanges that are over or were never begun",
    "zhttp_packets_unsent": "Packets to ZeroMQ backends that were lost because nobody took them",
    "zhttp_sequence_faults": "Exchanges ended because a packet of a ZeroMQ backend was not the expected one",
    "zhttp_windows_exceeded": "Exchanges in which a ZeroMQ backend sent more than it had been granted",
    "zhttp_timeouts": "Exchanges ended because a ZeroMQ backend was silent for too long",
    "farewells_refused": "WebSockets whose backend was not told that they ended, because too many were being told",
    "items_received": "Published items accepted",
    "items_duplicate": "Items dropped because their id had been published before, within id_cache_ttl",
    "items_buffered": "Items kept back because the item before them had not been published",
    "items_released_late": "Items let go although the item before them had not come within message_wait",
    "items_not_needed": "Deliveries left out because the answer of the next link had had the item already",
    "ids_forgotten_early": "Ids forgotten before id_cache_ttl because there were too many; a repeat would pass",
    "publishes_refused": "Publish calls refused because they were not valid",
    "publishes_unauthorized": "Requests of publishers refused because of missing or wrong credentials",
    "control_pages_refused": "Requests to the ports for publishing and metrics refused because a web page made them",
    "deliveries": "Deliveries of items to clients",
    "deliveries_filtered": "Deliveries that a filter of the hold dropped on purpose",
    "drops_outbox_full": "Deliveries lost because the outbox of a slow client was full",
    "drops_message_hwm": "Deliveries lost because more than message_hwm were queued",
    "drops_filter_failed": "Deliveries lost because a filter of the hold failed",
    "drops_queue_full": "Deliveries lost because too many items waited for a hold that asks its backend",
    "drops_sequence_conflict": "Items lost because another one already waited for the same previous item",
    "drops_sequence_full": "Items lost because too many of their channel waited for the item before them",
    "drops_channel_gone": "Items lost because the last subscriber left while they waited for the item before them",
    "drops_socket_closed": "Items lost because a WebSocket was closed while they waited for the end of a message",
    "slow_clients_disconnected": "Held clients disconnected because their outbox was full",
    "talkative_clients_disconnected": "Held clients by TLS disconnected because they sent too much meanwhile",
    "subscriptions_refused": "Channels of instructs left out because of connection_subscription_max",
}


def counter_values(counters: Counters) -> dict[str, int]:
    """Every counter by name, in the order of declaration."""
    return {field.name: getattr(counters, field.name) for field in fields(counters)}
