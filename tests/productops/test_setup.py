from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import Membership, User, Workspace
from activity.models import Event as Activity
from metrics import partitions
from metrics.intake.door import client_mark
from metrics.models import IngestKey, Refusal
from releases.models import Deploy, Product
from tests import make

pytestmark = pytest.mark.django_db
FIRST = {
    "name": "Ana Ruiz",
    "email": "Ana@Tienda.example",
    "password": make.PASSWORD,
    "workspace": "Tienda",
    "product": "Shop",
    "zone": "Europe/Madrid",
}


@pytest.fixture(autouse=True)
def own_counters(settings):
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": uuid4().hex}}


def page(product: Product, name: str = "start") -> str:
    return reverse(f"setup:{name}", args=[product.workspace.slug, product.pk])


def refuse(product: int, address: str = "127.0.0.1", reason: str = "unknown_key", detail: str = "Wrong key.") -> None:
    Refusal.objects.create(
        product_id=product, at=timezone.now(), protocol="sentry", status=403, reason=reason, detail=detail,
        client=client_mark(address),
    )  # fmt: skip


# Welcome


def test_first_person_founds_everything_and_is_signed_in():
    client = Client()
    assert client.get("/welcome/").status_code == 200
    response = client.post("/welcome/", FIRST)
    product = Product.objects.get()
    assert response["Location"] == page(product)
    assert client.get(page(product)).status_code == 200
    ana = Membership.objects.get()
    assert (ana.user.email, ana.user.zone, ana.role, str(ana.workspace)) == (
        "ana@tienda.example", "Europe/Madrid", "owner", "Tienda",
    )  # fmt: skip


def test_welcome_is_gone_once_somebody_is_here(alice):
    assert Client().get("/welcome/").status_code == 404
    assert Client().post("/welcome/", FIRST).status_code == 404
    assert User.objects.filter(email="ana@tienda.example").count() == 0


@pytest.mark.parametrize(
    "wrong", [{"password": "short"}, {"email": "no"}, {"workspace": ""}, {"product": " "}, {"name": "\0"}]
)
def test_wrong_words_found_nothing(wrong):
    assert Client().post("/welcome/", {**FIRST, **wrong}).status_code == 400
    assert not User.objects.exists()
    assert not Workspace.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_two_first_people_at_once_are_one():
    barrier = Barrier(8)

    def found(n: int) -> int:
        barrier.wait()
        try:
            return Client().post("/welcome/", {**FIRST, "email": f"p{n}@example.com"}).status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        answers = sorted(pool.map(found, range(8)))
    assert answers == [302] + [404] * 7
    assert (User.objects.count(), Workspace.objects.count(), Product.objects.count()) == (1, 1, 1)


@pytest.fixture
def in_public(settings):
    settings.IS_LOOPBACK = False
    settings.SETUP_TOKEN = "open sesame"


@pytest.mark.parametrize("token", ["", "wrong", "open sesam", "é", "\0"])
def test_in_public_the_setup_word_is_needed(in_public, token):
    for response in (
        Client().get("/welcome/", {"token": token}),
        Client().post("/welcome/", FIRST, query_params={"token": token}),
    ):
        assert response.status_code == 403
        assert "SETUP_TOKEN" in response.content.decode()
        assert "open sesame" not in response.content.decode()
    assert not User.objects.exists()


def test_in_public_the_setup_word_opens(in_public):
    assert Client().get("/welcome/", {"token": "open sesame"}).status_code == 200
    assert Client().post("/welcome/", FIRST, query_params={"token": "open sesame"}).status_code == 302


def test_an_empty_setup_word_opens_nothing(in_public, settings):
    settings.SETUP_TOKEN = ""
    assert Client().get("/welcome/?token=").status_code == 403
    assert Client().post("/welcome/?token=", FIRST).status_code == 403


def test_guessing_the_setup_word_is_slow(in_public):
    answers = [Client().get("/welcome/", {"token": f"guess {n}"}).status_code for n in range(11)]
    assert answers == [403] * 10 + [429]


# Start


@pytest.mark.parametrize("tab", ["", "sentry", "posthog", "segment", "otel", "curl", "nonsense"])
def test_snippets_carry_the_real_key(shop, carol, as_, tab):
    text = as_(carol).get(page(shop), {"tab": tab}).content.decode()
    assert IngestKey.current(shop).key in text
    assert "127.0.0.1:8000" in text


@pytest.mark.parametrize("role", ["agent", "marketer", "viewer"])
def test_others_get_403(shop, tienda, as_, role):
    client = as_(make.member(tienda, role))
    for name in ("start", "waiting"):
        assert client.get(page(shop, name)).status_code == 403
    assert client.post(page(shop, "deploy"), {"version": "1", "environment": "x"}).status_code == 403
    assert client.post(reverse("setup:new_product", args=[tienda.slug]), {"name": "X"}).status_code == 403
    assert (Product.objects.filter(workspace=tienda).count(), Deploy.objects.count()) == (1, 0)


def test_outsider_and_foreign_product_get_404(shop, tienda, carol, mallory, as_):
    theirs = Product.objects.get(workspace=mallory.memberships.get().workspace)
    assert as_(mallory).get(page(shop)).status_code == 404
    for name in ("start", "waiting"):
        assert as_(carol).get(reverse(f"setup:{name}", args=[tienda.slug, theirs.pk])).status_code == 404
    given = {"version": "1.0", "environment": "production"}
    assert as_(carol).post(reverse("setup:deploy", args=[tienda.slug, theirs.pk]), given).status_code == 404


def test_the_first_event_is_told(shop, carol, as_):
    client = as_(carol)
    assert "Waiting for the first event" in client.get(page(shop, "waiting")).content.decode()
    partitions.ensure(timezone.now())
    make.counted(shop, [make.event("checkout", user="user-7", release="2.4.0")])
    response = client.get(page(shop, "waiting"))
    text = response.content.decode()
    assert all(word in text for word in ("checkout", "user-7", "2.4.0", "production"))
    assert response["X-Done"]
    assert client.get(page(shop, "waiting"), {"stamp": response["X-Stamp"]}).status_code == 204


def test_what_is_in_the_inbox_is_told_before_it_is_counted(shop, carol, as_):
    make.batch(shop, [make.event()])
    assert "1 event arrived and is being counted" in as_(carol).get(page(shop, "waiting")).content.decode()


def test_refusals_of_the_product_are_told_in_words(shop, carol, as_):
    refuse(shop.pk, "10.1.1.1")
    refuse(shop.pk, "10.1.1.1")
    text = as_(carol).get(page(shop, "waiting")).content.decode()
    assert "Copy the snippet again" in text
    assert "2 times" in text


def test_refusals_without_a_product_are_told_to_their_sender_only(shop, carol, as_):
    refuse(0, "127.0.0.1", detail="Mine.")
    refuse(0, "10.1.1.1", detail="Somebody else's.")
    text = as_(carol).get(page(shop, "waiting")).content.decode()
    assert "Mine." in text
    assert "Somebody else" not in text


def test_refusals_of_another_product_stay_there(shop, carol, mallory, as_):
    theirs = Product.objects.get(workspace=mallory.memberships.get().workspace)
    refuse(theirs.pk, detail="Foreign.")
    assert "Foreign." not in as_(carol).get(page(shop, "waiting")).content.decode()


def test_refusals_are_text(shop, carol, as_):
    refuse(shop.pk, detail="<script>alert(1)</script>")
    assert "<script>alert" not in as_(carol).get(page(shop, "waiting")).content.decode()


def test_a_deploy_is_recorded_by_whom(shop, carol, as_):
    given = {"version": "2.4.0", "environment": "production", "percentage": "40"}
    assert as_(carol).post(page(shop, "deploy"), given)["Location"] == f"{page(shop)}#step-2"
    deploy = Deploy.objects.get()
    assert (deploy.release.version, deploy.percentage, deploy.source) == ("2.4.0", 40, "browser")
    assert Activity.objects.get(verb="release.deployed").by == carol
    assert "Last told: 2.4.0 to production" in as_(carol).get(page(shop)).content.decode()


@pytest.mark.parametrize("wrong", [{"percentage": "101"}, {"percentage": "x"}, {"version": ""}, {"environment": ""}])
def test_an_impossible_deploy_is_refused(shop, carol, as_, wrong):
    given = {"version": "2.4.0", "environment": "production", "percentage": "40", **wrong}
    assert as_(carol).post(page(shop, "deploy"), given).status_code == 400
    assert not Deploy.objects.exists()


def test_only_who_may_invite_is_asked_to(shop, alice, carol, as_):
    assert "Invite your team" in as_(alice).get(page(shop)).content.decode()
    assert "Invite your team" not in as_(carol).get(page(shop)).content.decode()


def test_another_product_begins_at_its_snippets(tienda, carol, as_):
    response = as_(carol).post(reverse("setup:new_product", args=[tienda.slug]), {"name": "App"})
    assert response["Location"] == page(Product.objects.get(workspace=tienda, name="App"))


def test_the_poll_costs_few_queries(shop, carol, as_, django_assert_max_num_queries):
    partitions.ensure(timezone.now())
    make.counted(shop, [make.event(f"e{n}") for n in range(30)])
    client = as_(carol)
    client.get(page(shop, "waiting"))
    with django_assert_max_num_queries(12):
        client.get(page(shop, "waiting"))
