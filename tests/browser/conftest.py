"""A real server process, a real Chromium, real data."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.db import connection
from playwright.sync_api import expect

from accounts.models import User

ROOT = Path(__file__).resolve().parents[2]
# A loaded machine is slow, not wrong.
expect.set_options(timeout=20_000)


@pytest.fixture
def server(transactional_db: None, tmp_path: Path) -> Iterator[str]:
    """The web process on a free port, over the test's own database."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    settings = connection.settings_dict
    host = settings["HOST"]
    place = f"?host={host}" if host.startswith("/") else ""
    netloc = "" if place else f"{host or '127.0.0.1'}:{settings['PORT'] or 5432}"
    secret = f":{settings['PASSWORD']}" if settings["PASSWORD"] else ""
    database = f"postgres://{settings['USER']}{secret}@{netloc}/{settings['NAME']}{place}"
    env = {
        **os.environ,
        "DATABASE_URL": database,
        "REDIS_URL": "",
        "DATA_DIR": str(tmp_path),
        "BASE_URL": f"http://127.0.0.1:{port}",
        "DEBUG": "0",
    }
    command = [sys.executable, "-m", "uvicorn", "productops.asgi:application", "--port", str(port), "--no-access-log"]
    with (tmp_path / "web.log").open("w") as log:
        process = subprocess.Popen([*command, "--log-level", "warning"], cwd=ROOT, env=env, stdout=log, stderr=log)
        address = f"http://127.0.0.1:{port}"
        for _try in range(400):
            try:
                urllib.request.urlopen(f"{address}/ready", timeout=1)
                break
            except OSError:
                time.sleep(0.1)
        else:
            process.kill()
            pytest.fail((tmp_path / "web.log").read_text()[-2000:])
        yield address
        process.terminate()
        process.wait(15)


@pytest.fixture
def browse(chromium, server) -> Iterator[Callable[..., object]]:
    """`browse(user, theme="dark", phone=True)` is a page of a signed-in browser that must stay quiet."""
    contexts = []
    noise: list[str] = []

    def open_(user: User, theme: str = "light", phone: bool = False, language: str = "en", bypass_csp: bool = False,
              is_cut_off: bool = False):  # fmt: skip
        User.objects.filter(pk=user.pk).update(theme=theme, language=language)
        session = SessionStore()
        now = int(time.time())
        session[SESSION_KEY] = str(user.pk)
        session[BACKEND_SESSION_KEY] = "allauth.account.auth_backends.AuthenticationBackend"
        session[HASH_SESSION_KEY] = user.get_session_auth_hash()
        session["began"] = session["seen"] = now
        session.save()
        size = {"width": 375, "height": 812} if phone else {"width": 1280, "height": 900}
        context = chromium.new_context(viewport=size, has_touch=phone, base_url=server, bypass_csp=bypass_csp)
        context.add_cookies([{"name": "sid", "value": session.session_key, "url": server}])
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: noise.append(str(error)))
        if not bypass_csp and not is_cut_off:  # whoever brings scripts of its own, or has no line, may be loud
            page.on("console", lambda said: noise.append(said.text) if _is_wrong(said) else None)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert noise == []


def _is_wrong(said) -> bool:
    """That somebody else was quicker is an answer, though Chromium calls it an error."""
    return said.type == "error" and "409 (Conflict)" not in said.text
