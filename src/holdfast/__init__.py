"""Holdfast: a reverse proxy that adds realtime push to any HTTP backend."""

__version__ = "0.1.0"
