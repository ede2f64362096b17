"""A whole Django project in one file, with django-grip as its documentation says: holds, WebSockets, and publishes.

Run as ``manage.py runserver --noreload ADDRESS:PORT``; the environment variable ``GRIP_CONTROL_URI`` is the address of
the proxy for publishers.
"""

from __future__ import annotations

import os

from django.conf import settings

settings.configure(
    SECRET_KEY="of a test",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    MIDDLEWARE=["django_grip.GripMiddleware"],
    GRIP_PROXIES=[{"control_uri": os.environ["GRIP_CONTROL_URI"], "key": "changeme"}],
    GRIP_PREFIX="django-",
)

from django.core.management import execute_from_command_line  # noqa: E402
from django.http import HttpRequest, HttpResponse, JsonResponse  # noqa: E402
from django.urls import path  # noqa: E402
from django_grip import publish, set_hold_longpoll, set_hold_stream, websocket_only  # noqa: E402
from gripcontrol import HttpResponseFormat, HttpStreamFormat, WebSocketMessageFormat  # noqa: E402


def who(request: HttpRequest) -> HttpResponse:
    """What django-grip knows of the proxy."""
    grip = request.grip
    return JsonResponse({"proxied": grip.proxied, "signed": grip.signed, "features": sorted(grip.features)})


def stream(request: HttpRequest, channel: str) -> HttpResponse:
    """Hold a stream."""
    set_hold_stream(request, channel, keep_alive_data=":\n\n", keep_alive_timeout=20)
    return HttpResponse("[open]\n", content_type="text/plain")


def poll(request: HttpRequest, channel: str) -> HttpResponse:
    """Hold a long poll."""
    set_hold_longpoll(request, channel, timeout=20)
    return HttpResponse("[nothing]\n", content_type="text/plain")


def tell(request: HttpRequest, channel: str) -> HttpResponse:
    """Publish the request's body to streams, long polls and WebSockets of a channel."""
    text = request.body.decode()
    formats = [HttpStreamFormat(text), HttpResponseFormat(body=text), WebSocketMessageFormat(text)]
    publish(channel, formats, blocking=True)
    return HttpResponse("told\n")


def talk(request: HttpRequest, channel: str) -> HttpResponse | None:
    """A WebSocket that echoes, is subscribed to a channel, and counts its messages in the proxy's memory."""
    socket = request.wscontext
    if channel == "closed":
        return HttpResponse("no room of that name\n", status=404)
    if socket.is_opening():
        socket.accept()
        socket.subscribe(channel)
        socket.meta["count"] = "0"
    while socket.can_recv():
        message = socket.recv()
        if message is None:
            socket.close(socket.close_code or 1000)
            break
        socket.meta["count"] = str(int(socket.meta["count"]) + 1)
        if message == "count?":
            socket.send(socket.meta["count"])
        elif message == "leave me":
            socket.close(4001)
        elif message == "detach":
            socket.detach()
        elif isinstance(message, str):
            socket.send(message)
        else:
            socket.send_binary(message)
    return None


urlpatterns = [
    path("who", who),
    path("stream/<channel>", stream),
    path("poll/<channel>", poll),
    path("tell/<channel>", tell),
    path("talk/<channel>", websocket_only(talk)),
]

if __name__ == "__main__":
    execute_from_command_line()
