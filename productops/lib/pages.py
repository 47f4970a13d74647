"""How a view answers an act: a swapped part with a toast for htmx, a message and a redirect for everybody else."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render


def is_htmx(request: HttpRequest) -> bool:
    return request.headers.get("HX-Request") == "true"


def tell(response: HttpResponse, text: str, events: dict[str, Any], undo: str = "") -> HttpResponse:
    """Adds a toast, and further events for the page's modules, to an htmx answer."""
    told = json.loads(response.headers.get("HX-Trigger", "{}"))
    told |= {"toast": {"text": text, "undo": undo}} | events
    response["HX-Trigger"] = json.dumps(told)
    return response


def refuse(request: HttpRequest, text: str, status: int, back: str) -> HttpResponse:
    """A refused act: the status and its reason for htmx, a message and the way back for everybody else."""
    if is_htmx(request):
        response = HttpResponse(text, status=status, content_type="text/plain")
        response["X-Problem"] = quote(text)
        return response
    messages.error(request, text)
    return redirect(back)


def unchanged(request: HttpRequest, stamp: str) -> HttpResponse | None:
    """204 when the page already shows this stamp."""
    if request.GET.get("stamp") == stamp:
        return HttpResponse(status=204)
    return None


def ask(request: HttpRequest, form: Any, title: str, action: str, remove: str = "") -> HttpResponse:
    """A small form: in the dialog for htmx, on a page of its own for everybody else. `remove` is where the thing itself
    can be taken away."""
    template = "productops/_ask.html" if is_htmx(request) else "productops/ask.html"
    return render(request, template, {"form": form, "title": title, "action": action, "remove": remove})


def go(request: HttpRequest, address: str) -> HttpResponse:
    """To another page, also out of a dialog."""
    if not is_htmx(request):
        return redirect(address)
    response = HttpResponse(status=204)
    response["HX-Redirect"] = address
    return response
