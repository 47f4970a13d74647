"""Text from outside stays text: in a real Chromium with the CSP, the second wall, switched off."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from django.conf import settings
from django.urls import reverse
from playwright.sync_api import Browser, BrowserContext, Page

from accounts.models import Membership, User
from feedback.models import Complaint
from incidents.models import Incident, Update
from productops.lib import markdown
from releases.models import Release
from tests import make
from tests.security import world as worlds
from tests.security.conftest import browser, start, stop
from tests.security.routes import PAGES, address
from tests.security.world import World

#: `§` becomes what a payload does when it runs; each has a mark of its own, so that one knows which ran.
CORPUS = [
    "<script>§</script>",
    "</title><script>§</script>",
    "</textarea><script>§</script>",
    "</script><script>§</script>",
    "--><script>§</script><!--",
    "<ScRiPt>§</sCrIpT>",
    "<script src=data:text/javascript,§></script>",
    "<img src=x onerror=§>",
    "<img src=x onerror='§'",
    "<IMG SRC=x OnErRoR=§>",
    "<svg onload=§>",
    "<svg/onload=§//",
    "<svg><script>§</script></svg>",
    "<svg><animate onbegin=§ attributeName=x dur=1s>",
    "<math><mtext><style><img src=x onerror=§></style></mtext></math>",
    "<body onload=§>",
    "<input autofocus onfocus=§>",
    "<details open ontoggle=§>",
    "<video><source onerror=§></video>",
    "<iframe srcdoc='<script>parent.§</script>'></iframe>",
    "<iframe src=javascript:§></iframe>",
    "<object data=javascript:§></object>",
    "<embed src=javascript:§>",
    "<form action=javascript:§><button>x</button></form>",
    "<a href=javascript:§>x</a>",
    "<base href=//evil.test/>",
    "<meta http-equiv=refresh content='0;url=javascript:§'>",
    "<link rel=stylesheet href=data:text/css,*{x:y}>",
    "<style>@import '//evil.test/x.css';</style>",
    "<marquee onstart=§>x</marquee>",
    "<xss style=animation-name:x onanimationstart=§>",
    "<div hx-get='/me/' hx-trigger='load' hx-on:htmx:load='§'>",
    "<div data-chart='//evil.test/'></div>",
    '" onmouseover="§" autofocus onfocus="§',
    "' onmouseover='§' autofocus onfocus='§",
    'x"><img src=x onerror=§>',
    "'><svg onload=§>",
    "javascript:§",
    "{{constructor.constructor('§')()}}",
    "${§}",
    "&lt;script&gt;§&lt;/script&gt;",
    "&#60;img src=x onerror=§&#62;",
    "\\u003cscript\\u003e§\\u003c/script\\u003e",
    '<noscript><p title="</noscript><img src=x onerror=§>">',
    "<template><script>§</script></template><img src=x onerror=§>",
    "+ADw-script+AD4-§+ADw-/script+AD4-",
    "<\x00script>§</script>".replace("\x00", ""),
    "\u2028<img src=x onerror=§>\u202e",
]
MARKDOWN = [
    "[x](javascript:§)",
    "[x](JaVaScRiPt:§)",
    "[x](javascript&colon;§)",
    "[x](&#106;avascript:§)",
    "[x](vbscript:§)",
    "[x](data:text/html,<script>§</script>)",
    "![x](javascript:§)",
    '![x](x"onerror="§)',
    "<javascript:§>",
    "[x]: javascript:§\n[x]",
    '[x](https://ok.test/" onmouseover="§)',
    "`<script>§</script>`",
    "```\n</code></pre><script>§</script>\n```",
    '```x" onload="§\ncode\n```',
    "| <script>§</script> |\n|---|\n| x |",
    "[<img src=x onerror=§>](https://ok.test)",
    "# <svg onload=§>",
    "~~<script>§</script>~~",
    "![](//evil.test/pixel)",
    "<details open ontoggle=§>",
    "[x](  javascript:§  'title\" onclick=\"§')",
]
#: Asked of a page: what a payload left behind in it.
LEFT = """() => {
  const found = [...(window.__xss || [])];
  for (const element of document.querySelectorAll("*")) {
    for (const { name, value } of element.attributes) {
      if (/^on/i.test(name) || /^hx-on/i.test(name)) found.push(`${element.tagName} ${name}=${value}`);
      if (/^(href|src|action|formaction|data|xlink:href)$/i.test(name) && /^\\s*(javascript|vbscript|data:text)/i.test(value))
        found.push(`${element.tagName} ${name}=${value}`);
      if (name === "srcdoc" || name === "style" && /evil/.test(value)) found.push(`${element.tagName} ${name}`);
    }
  }
  const alien = "iframe,object,embed,base,marquee,xss,math,video,template,noscript,animate,meta[http-equiv],body body";
  for (const element of document.querySelectorAll(alien)) found.push(element.outerHTML);
  for (const script of document.scripts)
    if (!script.src.startsWith(`${location.origin}/static/`) && script.type !== "application/json") found.push(script.outerHTML);
  return found;
}"""


class Corpus:
    """Says a payload wherever the world wants a text, and remembers which stood where."""

    def __init__(self) -> None:
        self.said: dict[int, str] = {}
        self._known: dict[tuple[str, int], str] = {}

    def __call__(self, what: str, i: int, limit: int) -> str:
        # The ids that tie rows together must be the same wherever they are said.
        if (what, i) not in self._known:
            number = len(self.said)
            self.said[number] = what
            kind = MARKDOWN if what == "comment" else CORPUS
            text = kind[(i * 7 + number) % len(kind)] if what != "comment" else "\n\n".join(MARKDOWN)
            run = f"__x({number})"
            self._known[what, i] = text.replace("§", run)
        text = self._known[what, i]
        if what in {"external", "plan", "feature", "signal", "version", "user", "platform"}:
            text = f"{i} {text}" if what != "version" else f"{i}-{text}"
        return text[:limit]


# Without a browser.


@pytest.mark.parametrize("text", MARKDOWN + CORPUS)
def test_markdown_is_inert(text):
    html = markdown.render(text.replace("§", "alert(1)"))
    lower = html.lower()
    for tag in (
        "<script",
        "<img",
        "<svg",
        "<iframe",
        "<object",
        "<embed",
        "<form",
        "<base",
        "<meta",
        "<link",
        "<style",
        "<input",
        "<details",
        "<div",
        "<math",
        "<video",
    ):
        assert tag not in lower, html
    for opening in re.findall(r"<[a-z][^>]*>", html):
        assert not re.search(r"\son\w+\s*=", re.sub(r'"[^"]*"', '""', opening)), opening
    for href in re.findall(r'href="([^"]*)"', html):
        assert href.split(":")[0] in {"http", "https", "mailto"} or not re.match(r"\s*[\w&]+:", href), href
        assert not href.startswith("//"), href
    if "<a" in html:
        assert 'rel="noopener noreferrer nofollow ugc"' in html


def test_markdown_of_a_hostile_size_is_quick():
    for text in ("[" * 20_000, "[a](" * 5_000, "*a_ " * 5_000, "> " * 10_000, "- " * 10_000, "`" * 20_000):
        began = time.process_time()
        markdown.render(text)
        assert time.process_time() - began < 2


@pytest.fixture
def hostile(db: None) -> World:
    return worlds.build(len(CORPUS) // 6, Corpus(), "Hostile")


def test_a_file_to_download_keeps_its_name(hostile):
    """The name of a CSV is made of harmless letters, and its cells are numbers and times only."""
    client = browser(hostile.owner)
    for k, release in enumerate(hostile.releases):
        path = reverse(
            "releases:signal_csv", args=[hostile.workspace.slug, release.pk, hostile.signals[k].pk, "failure_rate"]
        )
        response = client.get(path)
        assert response.status_code == 200
        name = response["Content-Disposition"]
        assert name.startswith('attachment; filename="')
        assert name.endswith('.csv"')
        inner = name.removeprefix('attachment; filename="').removesuffix('"')
        assert all(c.isascii() and (c.isalnum() or c in "-._") for c in inner), name
        assert len(inner) < 255
        lines = response.content.decode().splitlines()
        assert len(lines) > 2
        for line in lines[1:]:
            for cell in line.split(","):
                assert cell == "" or cell[0].isdigit(), cell


@pytest.mark.parametrize(
    "version", ["=1+1", "+1", "-1", "@SUM(1)", "\t=1", "ünï", "a\r\nb", '";x="', "../../x", "a" * 120]
)
def test_odd_versions_in_a_file_name(version, world):
    release, _new = Release.objects.get_or_create(product=world.product, version=version)
    release.deploy("production")
    path = reverse("releases:signal_csv", args=[world.workspace.slug, release.pk, world.signals[0].pk, "failure_rate"])
    name = browser(world.owner).get(path)["Content-Disposition"]
    inner = name.removeprefix('attachment; filename="').removesuffix('"')
    assert inner[0] not in "=+-@.\t"
    assert all(c.isascii() and (c.isalnum() or c in "-._") for c in inner), name


def test_data_of_charts_is_json_and_nothing_else(hostile):
    client = browser(hostile.owner)
    for name in ("releases:signal_data", "releases:adoption_data"):
        response = client.get(address(name, hostile))
        assert response["Content-Type"] == "application/json"
        assert "sandbox" in response["Content-Security-Policy"]
        json.loads(response.content)


# In Chromium.


@pytest.fixture(scope="module")
def stage(committed, tmp_path_factory) -> Iterator[tuple[str, World, str]]:
    """(address, a hostile world, the owner's session) of a running hub."""
    from django.contrib.auth.hashers import make_password
    from django.contrib.sessions.backends.db import SessionStore

    def build() -> tuple[World, str]:
        world = worlds.build(len(CORPUS) // 6, Corpus(), "Hostile")
        owner = world.owner
        owner.password = make_password(make.PASSWORD)
        owner.save()
        session = SessionStore()
        session["_auth_user_id"] = str(owner.pk)
        session["_auth_user_backend"] = settings.AUTHENTICATION_BACKENDS[0]
        session["_auth_user_hash"] = owner.get_session_auth_hash()
        session.create()
        return world, str(session.session_key)

    world, session = committed(build)
    process, url, _log = start(tmp_path_factory.mktemp("xss"))
    yield url, world, session
    stop(process)


@pytest.fixture
def page(chromium: Browser, stage: tuple[str, World, str]) -> Iterator[Page]:
    url, _world, session = stage
    context: BrowserContext = chromium.new_context(base_url=url, bypass_csp=True)
    context.add_cookies([{"name": "sid", "value": session, "url": url}])
    context.add_init_script("window.__x = (mark) => (window.__xss = window.__xss || []).push(String(mark));")
    # Whatever a payload asks of another host stays here, and is told.
    asked: list[str] = []
    context.route(
        lambda address: not address.startswith(url), lambda route: (asked.append(route.request.url), route.abort())
    )
    opened = context.new_page()
    said: list[str] = []
    opened.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
    yield opened
    context.close()
    assert not said, said
    assert not [address for address in asked if not address.startswith(("data:", "blob:"))], asked


def assert_inert(page: Page) -> None:
    page.wait_for_timeout(60)
    assert page.evaluate(LEFT) == []


def shown(name: str, world: World) -> list[str]:
    """The addresses of a page for every object of the world, where it has one."""
    slug = world.workspace.slug
    if name == "incidents:detail":
        return [reverse(name, args=[slug, incident.number]) for incident in world.incidents]
    if name == "feedback:complaint":
        return [reverse(name, args=[slug, complaint.pk]) for complaint in world.complaints]
    if name == "feedback:customer":
        return [reverse(name, args=[slug, customer.pk]) for customer in world.customers]
    if name == "releases:health":
        return [reverse(name, args=[slug, release.pk]) for release in world.releases]
    return [address(name, world)]


HTML = sorted(
    name
    for name, route in PAGES.items()
    if "GET" in route.allowed
    and name
    not in {
        "live",
        "ready",
        "version",
        "releases:signal_csv",
        "releases:signal_data",
        "releases:adoption_data",
        "releases:questions",
        "releases:backtest_csv",
        "incidents:export",
        "incidents:counts",
        "incidents:numbers",
        "incidents:people",
        "incidents:times_csv",
        "setup:welcome",
        "styleguide",
    }
)


@pytest.mark.browser
@pytest.mark.parametrize("name", HTML)
def test_page_is_inert(name, page, stage):
    _url, world, _session = stage
    for path in shown(name, world):
        page.goto(path, wait_until="load")
        assert_inert(page)


@pytest.mark.browser
def test_hostile_texts_are_on_the_pages(page, stage):
    """The tests above prove something only if the texts are there."""
    _url, world, _session = stage
    slug = world.workspace.slug
    for name, text in (
        ("feedback:complaints", world.complaints[0].text),
        ("feedback:customers", world.customers[0].name),
        ("releases:index", world.releases[0].version),
        ("incidents:index", world.incidents[0].title),
        ("accounts:people", world.people["viewer"].name),
        ("metrics:data", world.signals[0].name),
    ):
        page.goto(reverse(name, args=[slug]) + ("?view=all" if name == "incidents:index" else ""))
        said = " ".join(page.evaluate("document.documentElement.textContent").split())
        wanted = " ".join(text.split())[:40]
        assert wanted[:12] in said, (name, wanted)
    page.goto(reverse("incidents:detail", args=[slug, world.incidents[0].number]))
    assert page.locator(".prose").count() >= 1


@pytest.mark.browser
@pytest.mark.parametrize("start_at", range(0, len(CORPUS), 12))
def test_search_boxes(start_at, page, stage):
    _url, world, _session = stage
    slug = world.workspace.slug
    for k, text in enumerate(CORPUS[start_at : start_at + 12], start_at):
        query = quote(text.replace("§", f"__x({k})"))
        boxes = [f"triage/?q={query}", f"complaints/?q={query}&kind={query}", f"customers/?q={query}&order={query}"]
        page.goto(f"/w/{slug}/{boxes[k % 3]}", wait_until="domcontentloaded")
        assert page.evaluate(LEFT) == [], text
    for path in (
        f"/sign-in/?next={quote(CORPUS[start_at])}",
        f"/me/?x={quote(CORPUS[start_at])}",
        f"/{quote(CORPUS[start_at])}/",
        f"/w/{slug}/data/?window={quote(CORPUS[start_at])}",
    ):
        page.goto(path, wait_until="domcontentloaded")
        assert_inert(page)


@pytest.mark.browser
def test_palette_and_quick_log_while_typing(page, stage):
    _url, world, _session = stage
    slug = world.workspace.slug
    page.goto(f"/w/{slug}/triage/", wait_until="load")
    for typed in ("img", "script", "svg", "1", "__x", CORPUS[7].replace("§", "__x(1)")):
        page.evaluate("document.getElementById('palette').open || document.getElementById('palette').showModal()")
        page.locator("[data-palette-input]").fill(typed)
        page.wait_for_timeout(250)
        assert_inert(page)
    page.goto(f"/w/{slug}/log/", wait_until="load")
    for text in (world.complaints[0].text, world.complaints[1].text, "script img onerror svg onload"):
        page.locator("[name=text]").fill(text)
        page.locator("[name=text]").press("End")
        page.wait_for_timeout(500)
        assert_inert(page)
    for who in ("script", "img", "1"):
        page.locator("[name=who]").fill(who)
        page.wait_for_timeout(400)
        assert_inert(page)


@pytest.mark.browser
def test_partials_swapped_by_htmx(page, stage):
    """What htmx puts into the page is as inert as what came with it; toasts say names too."""
    _url, world, _session = stage
    slug = world.workspace.slug
    page.goto(f"/w/{slug}/triage/?view=all", wait_until="load")
    for path in [f"triage/{incident.number}/" for incident in world.incidents[:6]] + ["matches", "log/"]:
        if path == "matches":
            path = f"log/matches/?text={quote(world.complaints[0].text[:200])}"
        page.evaluate("path => htmx.ajax('GET', path, {target: '#main', swap: 'innerHTML'})", f"/w/{slug}/{path}")
        assert_inert(page)
    page.evaluate("text => document.dispatchEvent(new CustomEvent('toast', {detail: {text, undo: ''}}))", CORPUS[7])
    assert_inert(page)


@pytest.mark.browser
def test_a_form_that_comes_back_shows_what_was_typed_as_text(page, stage):
    _url, world, _session = stage
    slug = world.workspace.slug
    for k in range(0, len(CORPUS), 6):
        text = CORPUS[k].replace("§", f"__x({k})").replace("\n", " ")
        page.goto(f"/w/{slug}/customers/new/", wait_until="domcontentloaded")
        page.locator("#main [name=name]").fill(text[:120])
        page.locator("#main [name=currency]").evaluate("field => (field.value = 'wrong')")
        with page.expect_navigation():
            page.locator("#main form [name=name]").evaluate("field => setTimeout(() => field.form.submit())")
        assert_inert(page)


@pytest.mark.browser
def test_the_second_wall_holds_alone(chromium, stage):
    """With the CSP on and the escaping off (a script put in by hand), nothing inline runs."""
    url, world, session = stage
    context = chromium.new_context(base_url=url)
    context.add_cookies([{"name": "sid", "value": session, "url": url}])
    page = context.new_page()
    page.goto(f"/w/{world.workspace.slug}/triage/", wait_until="load")
    page.evaluate(
        """() => {
        const box = document.createElement("div");
        box.innerHTML = "<img src=x onerror='window.__ran = 1'><svg onload='window.__ran = 2'></svg>";
        document.body.append(box);
        const script = document.createElement("script");
        script.textContent = "window.__ran = 3";
        document.body.append(script);
        const other = document.createElement("script");
        other.src = "data:text/javascript,window.__ran=4";
        document.body.append(other);
        }"""
    )
    page.wait_for_timeout(200)
    assert page.evaluate("window.__ran") is None
    context.close()


def test_the_world_says_it_everywhere(hostile):
    """Every text field that others can fill holds something of the corpus."""
    assert Complaint.objects.filter(text__contains="<").exists()
    assert Incident.objects.filter(title__contains="<").exists()
    assert Update.objects.filter(text__contains="<").exists()
    assert User.objects.filter(name__contains="<").exists()
    assert Membership.objects.filter(workspace__name__contains="<").exists()
