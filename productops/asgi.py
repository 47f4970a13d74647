"""The web process: the door as plain ASGI, pages as WSGI in a fixed pool of threads.

Under plain ASGI Django gives each synchronous request a thread of its own, so that no database connection
lives on. A fixed pool keeps one connection per thread (docs/decisions/0003-web-process.md).
"""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "productops.settings")

from django.conf import settings
from django.core.wsgi import get_wsgi_application

from productops.lib import charset, patience
from productops.lib.headers import headers as security_headers

_django = get_wsgi_application()
_django.request_class = charset.Request

from a2wsgi import WSGIMiddleware  # noqa: E402

from metrics.intake import routes  # noqa: E402
from metrics.intake.door import Door, Receive, Scope, Send  # noqa: E402

#: Threads that serve pages; each keeps one database connection.
PAGE_THREADS = int(os.environ.get("PAGE_THREADS", "8"))

_HEADERS = [
    (name.lower().encode(), value.encode())
    for name, value in {
        **security_headers(False, settings.IS_HTTPS),
        "Content-Type": "text/plain",
        "Connection": "close",
        "Cache-Control": "no-store",
    }.items()
]
_pages = WSGIMiddleware(_django, workers=PAGE_THREADS)  # type: ignore[arg-type]
_door: Door | None = None


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    global _door
    if scope["type"] == "lifespan":
        await _live(receive, send)
        return
    if scope["type"] != "http":
        return
    protocol = routes.match(scope["path"])
    if protocol is None:
        try:
            receive = await patience.received(receive, settings.DATA_UPLOAD_MAX_MEMORY_SIZE)
        except patience.TooSlow:
            await send({"type": "http.response.start", "status": 408, "headers": _HEADERS})
            await send({"type": "http.response.body", "body": b"The body came too slowly.\n"})
            return
        await _pages(scope, receive, send)  # type: ignore[arg-type]
        return
    _door = _door or Door()
    await _door.answer(scope, receive, send, protocol)


async def _live(receive: Receive, send: Send) -> None:
    global _door
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            _door = Door()
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            if _door:
                _door.close()
            await send({"type": "lifespan.shutdown.complete"})
            return
