"""A Django project in one file, with django-eventstream as its documentation says: reliable events behind a GRIP proxy.

Served as ``uvicorn manage:application``; ``manage.py tell CHANNEL TEXT...`` sends events from the command line. The
environment has ``DATABASE``, the path of the database, and ``GRIP_URL``, where the proxy listens for publishers.
"""

from __future__ import annotations

import os
import sys

import django
from django.conf import settings

settings.configure(
    SECRET_KEY="of a test, and long enough for a key of tokens",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["DATABASE"]}},
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django_eventstream"],
    MIDDLEWARE=["django_grip.GripMiddleware"],
    USE_TZ=True,
    GRIP_URL=os.environ["GRIP_URL"],
    EVENTSTREAM_STORAGE_CLASS="django_eventstream.storage.DjangoModelStorage",
)
django.setup()

from django.core.asgi import get_asgi_application  # noqa: E402
from django.core.management import execute_from_command_line  # noqa: E402
from django.http import HttpRequest, HttpResponse  # noqa: E402
from django.urls import include, path  # noqa: E402
from django_eventstream import send_event  # noqa: E402
from django_eventstream.utils import publish_kick  # noqa: E402


def tell(request: HttpRequest, channel: str) -> HttpResponse:
    """Send the request's body as an event."""
    send_event(channel, "message", {"text": request.body.decode()})
    return HttpResponse("told\n")


def kick(request: HttpRequest, channel: str) -> HttpResponse:
    """Say that anonymous users may no longer read a channel."""
    publish_kick("anonymous", channel)
    return HttpResponse("kicked\n")


urlpatterns = [
    path("events/", include("django_eventstream.urls")),
    path("tell/<channel>", tell),
    path("kick/<channel>", kick),
]

application = get_asgi_application()

if __name__ == "__main__":
    if sys.argv[1] == "tell":
        for text in sys.argv[3:]:
            send_event(sys.argv[2], "message", {"text": text})
    else:
        execute_from_command_line()
