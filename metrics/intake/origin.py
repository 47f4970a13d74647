"""Where a fact comes from: customer, plan, platform, country and the stable name of what was done."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

#: Names under which clients put the paying customer, its plan and the part of the product; first match wins.
CUSTOMER_KEYS = (
    "customer", "customer_id", "account", "account_id", "organization", "organization_id", "org", "tenant",
    "tenant_id", "company", "company_id", "group",
)  # fmt: skip
PLAN_KEYS = ("plan", "customer_plan", "subscription_plan")
FEATURE_KEYS = ("feature", "feature_name")

#: Operating systems that decide the platform, whatever language the client is written in.
_SYSTEMS = {
    "android": "android", "ios": "ios", "iphone os": "ios", "ipados": "ios", "watchos": "ios", "tvos": "ios",
}  # fmt: skip
_DESKTOPS = ("windows", "mac os x", "macos", "linux")
#: Sentry's `platform` of an event.
_LANGUAGES = {
    **dict.fromkeys(("javascript",), "web"),
    **dict.fromkeys(("python", "node", "php", "ruby", "go", "java", "csharp", "elixir", "perl"), "server"),
    **dict.fromkeys(("cocoa", "objc", "swift"), "ios"),
    **dict.fromkeys(("native", "c", "rust"), "desktop"),
}

_METHOD = re.compile(r"(?:GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS|TRACE|CONNECT) +(?=\S)")
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]{0,20}://[^/?#]*", re.IGNORECASE)
#: A path segment that names one thing: number, UUID, long hex, placeholder, address, or a long token.
_ONE_THING = re.compile(
    r"\d+|[0-9a-f]{8}-[0-9a-f-]{18,27}|(?=[a-f]*\d)[0-9a-f]{8,}|\{.*\}|<.*>|:\w+|\[.*\]|\$\w+|.*@.*"
    r"|(?=.*\d)[\w=~.-]{24,}",
    re.IGNORECASE,
)


def first(mapping: Any, keys: Iterable[str]) -> Any:
    """The first text or number under one of the keys; "" when there is none or no mapping."""
    if type(mapping) is dict:
        for key in keys:
            value = mapping.get(key)
            if (type(value) is str and value) or type(value) is int:
                return value
    return ""


def mapping(value: Any) -> dict[str, Any]:
    """The value when it is an object, else an empty one."""
    return value if type(value) is dict else {}


def pairs(value: Any, limit: int = 200) -> dict[str, Any]:
    """Tags as an object; Sentry clients also send `[[key, value], ...]`. At most `limit` are read."""
    if type(value) is dict:
        return value
    if type(value) is not list:
        return {}
    return {
        pair[0]: pair[1]
        for pair in value[:limit]
        if type(pair) is list and len(pair) == 2 and type(pair[0]) is str
    }


def pattern(name: Any) -> str:
    """The stable name of a request or screen: `GET /users/42?x=1` becomes `/users/*`.

    Method, origin, query and fragment go; path segments that name one thing become `*`. Names without a
    slash (`app.views.home`, `Pageload`) stay as they are.
    """
    return _pattern(name[:300]) if type(name) is str else ""


@lru_cache(maxsize=4096)
def _pattern(name: str) -> str:
    name = _METHOD.sub("", name.strip(), count=1)
    whole = _ORIGIN.match(name)
    if whole:
        name = name[whole.end() :] or "/"
    if "/" not in name:
        return name
    path = re.split(r"[?#]", name, maxsplit=1)[0]
    return "/".join("*" if _ONE_THING.fullmatch(part) else part for part in path.split("/"))


def system_platform(system: Any) -> str:
    """android or ios for the name of a mobile operating system, else ""."""
    return _SYSTEMS.get(system.lower(), "") if type(system) is str else ""


def sentry_platform(tags: Mapping[str, Any], contexts: Mapping[str, Any], language: Any) -> str:
    """Where a Sentry event happened: a tag decides, then a mobile system, then the client's language."""
    tagged = tags.get("platform")
    if type(tagged) is str and tagged:
        return tagged.lower()
    for context in ("os", "client_os"):
        system = mapping(contexts.get(context)).get("name")
        if found := system_platform(system):
            return found
    family = mapping(contexts.get("device")).get("family")
    if type(family) is str and family.lower() in ("iphone", "ipad", "ios", "android"):
        return "android" if family.lower() == "android" else "ios"
    found = _LANGUAGES.get(language, "") if type(language) is str else ""
    if found == "ios" and str(mapping(contexts.get("os")).get("name")).lower() in _DESKTOPS:
        return "desktop"
    return found


def sdk_platform(name: Any) -> str:
    """What a Sentry client of that name runs on: `sentry.javascript.node` is a server."""
    parts = name.lower().split(".") if type(name) is str else []
    for part in reversed(parts[1:]):
        if part in ("android", "kotlin"):
            return "android"
        if part in ("browser", "react", "vue", "angular", "svelte", "solid", "ember", "nextjs", "wasm"):
            return "web"
        if part in _LANGUAGES and part != "javascript":
            return _LANGUAGES[part]
    return ""


def posthog_platform(lib: Any, system: Any = "") -> str:
    """Where a PostHog event happened, from `$lib` and `$os`: a browser is web on every system."""
    return _posthog_platform(lib[:60] if type(lib) is str else "", system[:60] if type(system) is str else "")


@lru_cache(maxsize=1024)
def _posthog_platform(lib: str, system: str) -> str:
    lib = lib.lower()
    if lib in ("web", "js", "posthog-js", "posthog-js-lite"):
        return "web"
    if lib in ("posthog-android", "posthog-ios") or "react-native" in lib or "flutter" in lib:
        fallback = "android" if "android" in lib else "ios" if "ios" in lib else ""
        if system.lower() in _DESKTOPS:
            return "desktop"
        return system_platform(system) or fallback
    if lib.startswith("posthog-"):
        return "server"
    return system_platform(system)


@lru_cache(maxsize=1024)
def _agent(agent: str) -> tuple[str, str]:
    browser = ""
    for mark, name in (
        ("Edg", "Edge"), ("OPR/", "Opera"), ("SamsungBrowser", "Samsung Internet"), ("Firefox/", "Firefox"),
        ("FxiOS", "Firefox"), ("Chrome/", "Chrome"), ("CriOS", "Chrome"), ("Safari/", "Safari"),
    ):  # fmt: skip
        if mark in agent:
            browser = name
            break
    for mark, name in (
        ("Android", "Android"), ("iPhone", "iOS"), ("iPad", "iOS"), ("Windows", "Windows"),
        ("Mac OS X", "macOS"), ("CrOS", "ChromeOS"), ("Linux", "Linux"),
    ):  # fmt: skip
        if mark in agent:
            return browser, name
    return browser, ""


def agent(value: Any) -> tuple[str, str]:
    """(browser, operating system) named by a User-Agent, "" for what it does not say."""
    return _agent(value[:300]) if type(value) is str else ("", "")
