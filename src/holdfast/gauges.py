"""The gauges of the metrics: what there is now, asked of the parts at each scrape."""

from __future__ import annotations

from holdfast.control.metrics import Gauge
from holdfast.garbage import GarbageWatch
from holdfast.net.edge import Edge
from holdfast.proxy.context import ProxyContext
from holdfast.proxy.sharing import Sharing
from holdfast.publishing import Publishing


def make_gauges(
    clients: Edge, proxy: ProxyContext, publishing: Publishing, sharing: Sharing | None, garbage: GarbageWatch
) -> list[Gauge]:
    """All of them; the first is Pushpin's `connection_connected` too."""
    parking = proxy.parking
    return [
        Gauge("open_connections", "Client connections open now", lambda: clients.open_connections),
        Gauge("parked_clients", "Held clients without a transport", lambda: len(parking) if parking else 0),
        Gauge("outboxes", "Parked sockets whose peer is slow", lambda: len(parking.slow) if parking else 0),
        Gauge("outbox_bytes", "What their peers have yet to take", lambda: parking.outbox_bytes if parking else 0),
        Gauge("channels", "Channels with a subscriber", lambda: len(publishing.registry)),
        Gauge("hold_plans", "Distinct instructs among the holds", lambda: len(proxy.plans)),
        Gauge("held_back_items", "Items that wait for the one before them", lambda: publishing.sequencer.buffered),
        Gauge("remembered_ids", "Item ids kept to notice repeats", lambda: publishing.sequencer.remembered),
        Gauge("waiting_retries", "Held clients whose backend will be asked again", lambda: len(publishing.updates)),
        Gauge("fanout_backlog", "Accepted deliveries that are not written yet", lambda: publishing.fanout.backlog),
        Gauge("paced_deliveries", "Deliveries that wait because of message_rate", lambda: publishing.fanout.paced),
        Gauge("sockjs_sessions", "SockJS clients over HTTP", lambda: len(proxy.sockjs)),
        Gauge("farewells", "WebSockets that are over, whose backend is being told", lambda: len(proxy.farewells)),
        Gauge("backend_idle_connections", "Idle connections to backends", lambda: proxy.pool.idle_count),
        Gauge("shareable_requests", "Requests whose answer others can join", lambda: len(sharing or ())),
        Gauge("zhttp_exchanges", "Exchanges with ZeroMQ backends", lambda: proxy.zhttp.exchange_count),
        Gauge("tasks", "Requests and other work in progress", lambda: proxy.runtime.task_count),
        Gauge("garbage_collections", "Garbage collections since the start", lambda: garbage.collections),
        Gauge("garbage_collection_seconds", "How long they took together", lambda: garbage.seconds),
        Gauge("garbage_collection_longest_seconds", "How long the longest took", lambda: garbage.longest_s),
        Gauge("log_lines_lost", "Log lines that could not be written", lambda: proxy.request_log.lost_lines),
    ]
