"""Triage over two busy years, as `bin/bench seed` made them: pages, one act, a thousand acts."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from urllib.parse import quote

from productops.bench import seed
from productops.bench.figures import Figure
from productops.bench.hub import Hub
from productops.bench.pages import TIMES, Browser

GOAL, ACT, MANY, BYTES = 100.0, 60.0, 3.0, 150.0
_PAGES = {
    "inbox": "",
    "inbox, all": "?view=all",
    "inbox, needs a decision": "?view=decide",
    "list, all": "?view=all&as=list",
    "list, page 500": "?view=all&as=list&page=500",
    "board, open": "?view=open&as=board",
    "board, all": "?view=all&as=board",
    "search, words": "?q=checkout+falla",
    "search, two letters": "?q=no",
    "search, nothing": "?q=zzzzzz",
    "search, keys": "?q=" + quote("severity:>=high is:silent release:1*.* has:complaints"),
    "search, customer": "?q=" + quote('customer:"Customer 7777"'),
    "search, impact": "?q=" + quote("impact:>80 sort:revenue"),
    "search, severity first": "?q=" + quote("sort:severity"),
    "counts of views": "counts/",
    "completion": "complete/?at=15&q=customer:Customer",
}
_TOKEN = re.compile(r'"X-CSRFToken": "([^"]+)"')


def run(server: str) -> Iterator[Figure]:
    """Nothing when there is no seeded database."""
    if not seed.exists(server):
        return
    with Hub(server, database=seed.DATABASE) as hub:
        hub.start_web()
        browser = Browser(hub.url)
        browser.sign_in("owner@example.com", "correct horse battery")
        start = browser.get("/")[0]
        for name, query in _PAGES.items():
            yield from _page(browser, f"triage, {name}", start + query)
        waiting = [n for (n,) in hub.rows("SELECT number FROM incidents_incident WHERE status = 'new' LIMIT 1200")]
        yield from _page(browser, "triage, detail", f"{start}{waiting[0]}/")
        token = _TOKEN.search(browser.get(start)[2])
        assert token
        posting = Posting(browser, token[1], start)
        yield posting.one(waiting[:TIMES])
        ids = [n for (n,) in hub.rows("SELECT number FROM incidents_incident WHERE status = 'closed' LIMIT 1000")]
        yield posting.many(ids)


def _page(browser: Browser, name: str, path: str) -> Iterator[Figure]:
    size = len(browser.get(path)[2].encode()) / 1e3
    times = sorted(browser.time(path) for _number in range(TIMES))
    note = f"p50 {times[TIMES // 2]:.1f} ms over {TIMES} requests; {size:.0f} kB"
    if size > BYTES:
        yield Figure("pages", f"{name}: size", size, "kB", BYTES, is_ceiling=True)
    yield Figure("pages", f"{name}: p95", times[int(TIMES * 0.95)], "ms", GOAL, is_ceiling=True, note=note)


class Posting:
    """Acts as the page's modules send them."""

    def __init__(self, browser: Browser, token: str, start: str) -> None:
        self.browser, self.token, self.start = browser, token, start

    def one(self, numbers: list[int]) -> Figure:
        times = sorted(self._post(f"{self.start}{number}/accept/", {}) for number in numbers)
        note = f"accept, p50 {times[len(times) // 2]:.1f} ms; the answer is the incident's whole pane"
        p95 = times[int(len(times) * 0.95)]
        return Figure("pages", "triage, one act: p95", p95, "ms", ACT, is_ceiling=True, note=note)

    def many(self, numbers: list[int]) -> Figure:
        began = time.perf_counter()
        for at in range(0, len(numbers), 100):
            some = ",".join(map(str, numbers[at : at + 100]))
            self._post(f"{self.start}many/", {"verb": "reopen", "reason": "again", "asked": "1", "numbers": some})
        took = time.perf_counter() - began
        note = "in ten requests, as the page sends them"
        return Figure("pages", "triage, 1,000 at once", took, "s", MANY, is_ceiling=True, note=note)

    def _post(self, path: str, form: dict[str, str]) -> float:
        began = time.perf_counter()
        self.browser.get(path, {**form, "csrfmiddlewaretoken": self.token}, {"HX-Request": "true"})
        return (time.perf_counter() - began) * 1e3
