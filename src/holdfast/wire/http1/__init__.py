"""HTTP/1.0 and 1.1 messages: the one parser and encoder that edge, backend client and control doors share."""
