"""Every screen of the sample workspace, found by following its links: how long the server takes."""

from __future__ import annotations

import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.cookiejar import CookieJar
from urllib.parse import urlencode, urlsplit

from productops.bench.figures import Figure
from productops.bench.hub import Hub

TIMES, SCREENS, GOAL = 25, 60, 100.0
_LINK = re.compile(r'(?:href|hx-get)="(/[^"#]*)"')
_FIELD = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')


def run(server: str) -> Iterator[Figure]:
    with Hub(server) as hub:
        sample = hub.sample()
        hub.start_web()
        browser = Browser(hub.url)
        person = sample["sign_in"][0]
        browser.sign_in(person["email"], person["password"])
        for shape, path in sorted(browser.screens(sample["url_path"]).items()):
            times = sorted(browser.time(path) for _number in range(TIMES))
            p50, p95 = times[TIMES // 2], times[int(TIMES * 0.95)]
            note = f"p50 {p50:.1f} ms over {TIMES} requests"
            yield Figure("pages", f"{shape}: p95", p95, "ms", GOAL, is_ceiling=True, note=note)


class Browser:
    def __init__(self, url: str) -> None:
        self.url = url
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))

    def get(
        self, path: str, form: dict[str, str] | None = None, headers: dict[str, str] | None = None
    ) -> tuple[str, str, str]:
        """(address in the end, content type, text)."""
        body = urlencode(form).encode() if form else None
        told = {"Referer": self.url + path, **(headers or {})}
        request = urllib.request.Request(self.url + path, body, told)  # noqa: S310
        with self.opener.open(request, timeout=30) as answer:
            kind = answer.headers.get_content_type()
            return urlsplit(answer.url).path, kind, answer.read().decode(errors="replace")

    def sign_in(self, email: str, password: str) -> None:
        path, _kind, page = self.get("/")
        token = _FIELD.search(page)
        if token is None:
            raise RuntimeError(f"No form to sign in at {path}")
        ended, _kind, _page = self.get(path, {"csrfmiddlewaretoken": token[1], "login": email, "password": password})
        if not ended.startswith("/w/"):
            raise RuntimeError(f"Signing in led to {ended}")

    def screens(self, start: str) -> dict[str, str]:
        """One address of each shape: numbers and queries aside, what looks the same is the same screen."""
        found: dict[str, str] = {}
        waiting, asked = [start], set()
        while waiting and len(found) < SCREENS:
            path = waiting.pop(0)
            shape = re.sub(r"/\d[\w.]*", "/…", path.split("?")[0])
            if path in asked or shape in found or not path.startswith(start):
                continue
            asked.add(path)
            try:
                ended, kind, page = self.get(path)
            except urllib.error.HTTPError:
                continue
            if kind == "text/html":
                found[re.sub(r"/\d[\w.]*", "/…", ended)] = ended + (f"?{urlsplit(path).query}" if "?" in path else "")
                waiting += [link.replace("&amp;", "&") for link in _LINK.findall(page)]
        return found

    def time(self, path: str) -> float:
        """Milliseconds until the whole page was here."""
        began = time.perf_counter()
        self.get(path)
        return (time.perf_counter() - began) * 1e3
