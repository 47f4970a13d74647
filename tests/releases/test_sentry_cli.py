"""The real sentry-cli against a real server process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from releases.models import Deploy, Release
from tests import make
from tests.browser.conftest import server

__all__ = ["server"]
pytestmark = pytest.mark.live

CLI = Path(sys.executable).with_name("sentry-cli")


def run(address: str, token: str, *words: str, org: str = "tienda") -> subprocess.CompletedProcess[str]:
    env = {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "SENTRY_URL": address,
        "SENTRY_AUTH_TOKEN": token,
        "SENTRY_ORG": org,
        "SENTRY_PROJECT": "shop",
    }
    return subprocess.run([CLI, *words], env=env, capture_output=True, text=True, timeout=30)


def test_releases_and_deploys_of_an_existing_pipeline(server, tienda, shop, carol) -> None:
    token = make.token(carol, tienda)
    for words in (
        ("releases", "new", "shop@2.4.1+7"),
        ("releases", "new", "shop@2.4.1+7"),
        ("releases", "finalize", "shop@2.4.1+7"),
        ("deploys", "--release", "shop@2.4.1+7", "new", "-e", "production"),
        ("deploys", "--release", "shop@2.4.1+7", "list"),
        ("releases", "list"),
        ("info", "--no-defaults"),
    ):
        done = run(server, token, *words)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
    release = Release.objects.get(product=shop)
    assert (release.version, release.source) == ("shop@2.4.1+7", "cli")
    assert Deploy.objects.get(release=release).environment == "production"
    assert release.shipped_at is not None


def test_another_workspace_or_a_wrong_token_gets_nothing(server, tienda, shop, carol, mallory, bob) -> None:
    token = make.token(carol, tienda)
    assert run(server, token, "releases", "new", "1.0", org="elsewhere").returncode != 0
    assert run(server, token[:-1] + ("y" if token[-1] == "x" else "x"), "releases", "new", "1.0").returncode != 0
    assert run(server, make.token(bob, tienda), "releases", "new", "1.0").returncode != 0
    assert not Release.objects.exists()
