"""WebSocket (RFC 6455, RFC 7692): handshakes, frames, and the reader that clients and backends share."""
