"""ZHTTP, by which backends speak HTTP and WebSocket over ZeroMQ (ws spec §7)."""
