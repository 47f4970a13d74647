"""The security headers of every answer: pages, API, static files and the door alike."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse

_PAGE_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'; "
    "object-src 'none'"
)
_DATA_CSP = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; sandbox"


def headers(is_page: bool, is_https: bool, cross_origin: bool = False) -> dict[str, str]:
    """Header names and values. `cross_origin` is for the door, which browsers of any site may post to."""
    csp = _PAGE_CSP if is_page else _DATA_CSP
    found = {
        "Content-Security-Policy": f"{csp}; upgrade-insecure-requests" if is_https and is_page else csp,
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "cross-origin" if cross_origin else "same-origin",
        "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=(), browsing-topics=()",
    }
    if is_https:
        found["Strict-Transport-Security"] = f"max-age={settings.SECURE_HSTS_SECONDS}; includeSubDomains"
    return found


class SecurityHeaders:
    """Outermost middleware, so that redirects and errors carry the headers too."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        is_static = request.path.startswith(settings.STATIC_URL)
        is_page = response.get("Content-Type", "").startswith("text/html")
        for name, value in headers(is_page, settings.IS_HTTPS).items():
            response.headers.setdefault(name, value)
        if not is_static:
            response.headers.setdefault("Cache-Control", "no-store")
        return response

