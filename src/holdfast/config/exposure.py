"""What a configuration leaves open although it asks publishers for credentials: notes for whoever wrote it."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from ipaddress import ip_address

from holdfast.config.given import Note
from holdfast.config.settings import Settings

_TCP = re.compile(r"tcp://(\[[^\]]*\]|[^:\[\]]*)(?::.*)?")


def exposure_notes(settings: Settings) -> list[Note]:
    """Warnings about ways around `publish_key` and `publish_token`; none if nobody is asked for credentials."""
    return [Note(logging.WARNING, text) for text in (*_around_the_key(settings), *_open_doors(settings))]


def _around_the_key(settings: Settings) -> Iterator[str]:
    ours, proxy = settings.holdfast, settings.proxy
    if ours.publish_iss and not ours.publish_key:
        yield "holdfast/publish_iss has no effect without publish_key"
    if ours.publish_key and ours.publish_key == proxy.sig_key and ours.publish_iss in ("", proxy.sig_iss):
        yield (
            "holdfast/publish_key is the same as sig_key, so every backend that sees a Grip-Sig header can publish "
            "with it; set publish_iss to something else than sig_iss"
        )


def _open_doors(settings: Settings) -> Iterator[str]:
    ours, handler = settings.holdfast, settings.handler
    if not ours.publish_key and not ours.publish_token:
        return
    subs = handler.push_in_sub_specs + ((handler.push_in_sub_spec,) if handler.push_in_sub_spec else ())
    bound = () if handler.push_in_sub_connect else subs[:1]
    doors = [("push_in_spec", handler.push_in_spec), ("command_spec", handler.command_spec)]
    doors += [("push_in_sub_specs", spec) for spec in bound]
    for name, spec in doors:
        if not is_local(spec):
            yield (
                f"handler/{name}: {spec} can be reached from other machines, and publishing over ZeroMQ asks for no "
                "credentials; publish_key and publish_token protect publishing over HTTP alone"
            )


def is_local(spec: str) -> bool:
    """Whether a ZeroMQ address that is bound can only be reached on this machine."""
    match = _TCP.fullmatch(spec)
    if match is None:
        return True  # ipc, inproc, or none at all
    host = match[1].strip("[]").lower()
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "lo"  # a name of an interface, or `*` for all
