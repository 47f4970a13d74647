"""What is offered and what shipped: products, their features, releases, and deploys of a release."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models, transaction
from django.utils import timezone
from django.utils.text import slugify
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from accounts.models import User, Workspace
from activity.models import record

#: How long after its first deploy a release is watched.
WATCH = timedelta(hours=72)
#: How far from now a deploy may be.
FARTHEST = timedelta(days=3653)
#: New releases that events alone may make in a day; more go to no release at all (a cardinality attack).
DISCOVERED_PER_DAY = 50
#: What a person or a tool may call a release: it is part of addresses, so it neither begins with a slash nor holds what
#: cannot be seen.
VERSION = RegexValidator(
    r"^[^\s/\x00-\x1f\x7f-\x9f](?:[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f])?\Z",
    _("Use a version such as 2.4.1."),
)

if TYPE_CHECKING:
    from django.db.models.fields.related_descriptors import RelatedManager


class ProductManager(models.Manager["Product"]):
    def found(self, workspace: Workspace, name: str, by: User | None = None) -> Product:
        base = slugify(name)[:40] or "product"
        taken = set(self.filter(workspace=workspace, slug__startswith=base).values_list("slug", flat=True))
        free = next(slug for slug in (base, *(f"{base}-{n}" for n in range(2, 10_000))) if slug not in taken)
        with transaction.atomic():
            product = self.create(workspace=workspace, name=name, slug=free)
            record(workspace, "product.founded", product, by, name=name)
        return product


class Product(models.Model):
    workspace = models.ForeignKey(Workspace, models.CASCADE, related_name="products")
    name = models.CharField(_("name"), max_length=80)
    slug = models.SlugField(max_length=50)
    created_at = models.DateTimeField(default=timezone.now)

    objects: ClassVar[ProductManager] = ProductManager()
    if TYPE_CHECKING:
        releases: RelatedManager[Release]
        features: RelatedManager[Feature]

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "slug"], name="product_slug")]

    def __str__(self) -> str:
        return self.name


class Feature(models.Model):
    product = models.ForeignKey(Product, models.CASCADE, related_name="features")
    name = models.CharField(_("name"), max_length=80)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["product", "name"], name="feature_name")]

    def __str__(self) -> str:
        return self.name


class ReleaseQuerySet(models.QuerySet["Release"]):
    def in_order(self) -> ReleaseQuerySet:
        """Newest first, by the moment it first reached anybody."""
        return self.order_by(models.F("shipped_at").desc(nulls_first=True), "-id")

    def watched(self, now: datetime) -> ReleaseQuerySet:
        return self.filter(shipped_at__lte=now, shipped_at__gt=now - WATCH)

    def of(self, workspace: Workspace) -> ReleaseQuerySet:
        return self.filter(product__workspace=workspace)


class ReleaseManager(models.Manager.from_queryset(ReleaseQuerySet)):  # type: ignore[misc]
    def create_version(
        self, product: Product, version: str, source: str, by: User | None = None, url: str = ""
    ) -> tuple[Release, bool]:
        """The release of this version, and whether it is new. Saying it twice changes nothing."""
        with transaction.atomic():
            release, is_new = self.get_or_create(
                product=product, version=version, defaults={"source": source, "url": url}
            )
            if is_new:
                record(product.workspace, "release.created", release, by, version=version, source=source)
        return release, is_new

    def discover(self, product: Product, versions: Iterable[str], at: datetime) -> dict[str, Release]:
        """Releases for versions seen in events; unknown ones are made, up to DISCOVERED_PER_DAY."""
        wanted = set(versions) - {""}
        known = {r.version: r for r in self.filter(product=product, version__in=wanted)}
        missing = sorted(wanted - known.keys())
        if missing:
            made = self.filter(product=product, source="events", created_at__gt=at - timedelta(days=1)).count()
            for version in missing[: max(0, DISCOVERED_PER_DAY - made)]:
                known[version], _new = self.create_version(product, version, "events")
        return known


class Release(models.Model):
    """A version that shipped, or will."""

    product = models.ForeignKey(Product, models.CASCADE, related_name="releases")
    version = models.CharField(_("version"), max_length=120)
    url = models.URLField(_("link"), blank=True)
    source = models.CharField(max_length=10, default="api")  # api, cli, browser, events
    created_at = models.DateTimeField(default=timezone.now)
    shipped_at = models.DateTimeField(null=True)  # first deploy anywhere
    features = models.ManyToManyField(Feature, related_name="releases")  # that it touches; none: nobody said

    objects: ClassVar[ReleaseManager] = ReleaseManager()
    if TYPE_CHECKING:
        deploys: RelatedManager[Deploy]

    class Meta:
        constraints = [models.UniqueConstraint(fields=["product", "version"], name="release_version")]
        indexes = [models.Index(fields=["product", "-shipped_at"], name="release_order")]

    def __str__(self) -> str:
        return self.version

    def touch(self, features: Iterable[Feature], by: User | None = None) -> bool:
        """Says which features it touches, of its own product; whether that is new."""
        wanted = {feature.pk: feature for feature in features if feature.product_id == self.product_id}
        with transaction.atomic():
            Release.objects.select_for_update().get(pk=self.pk)
            before = {feature.pk: feature.name for feature in self.features.all()}
            if before.keys() == wanted.keys():
                return False
            self.features.set(wanted.values())
            after = sorted(feature.name for feature in wanted.values())
            record(
                self.product.workspace, "release.touched", self, by, before=sorted(before.values()), after=after
            )
        return True

    def deploy(
        self,
        environment: str,
        percentage: int | None = None,
        at: datetime | None = None,
        by: User | None = None,
        source: str = "api",
    ) -> Deploy:
        """Records that this release reaches `environment` at `percentage` from `at` on."""
        if percentage is not None and not 0 <= percentage <= 100:
            raise ValidationError({"percentage": _("A percentage lies between 0 and 100.")})
        moment = at or timezone.now()
        if not timezone.now() - FARTHEST <= moment <= timezone.now() + FARTHEST:
            raise ValidationError({"at": _("Choose a time less than ten years away.")})
        with transaction.atomic():
            locked = Release.objects.select_for_update().get(pk=self.pk)
            deploy, is_new = Deploy.objects.get_or_create(
                release=self,
                environment=environment,
                at=moment,
                defaults={"percentage": percentage, "source": source},
            )
            if is_new:
                if locked.shipped_at is None or moment < locked.shipped_at:
                    Release.objects.filter(pk=self.pk).update(shipped_at=moment)
                    self.shipped_at = moment
                record(
                    self.product.workspace,
                    "release.deployed",
                    self,
                    by,
                    at=moment,
                    environment=environment,
                    percentage=percentage,
                    source=source,
                )
        return deploy

    def arrive(self, environment: str, at: datetime) -> None:
        """Events say that it was here at `at`. Only fills the place of a deploy that nobody announced."""
        known = self.deploys.filter(environment=environment).order_by("at").first()
        if known is None:
            self.deploy(environment, at=at, source="events")
        elif known.source == "events" and at < known.at:
            with transaction.atomic():
                Deploy.objects.filter(pk=known.pk).update(at=at)
                Release.objects.filter(pk=self.pk, shipped_at__gt=at).update(shipped_at=at)

    def call(self, by: User, decision: str, reason: str, evidence: dict[str, Any]) -> Call:
        """Go, watch or roll back, said by a person who saw `evidence`."""
        if decision not in Decision.values:
            raise ValidationError({"decision": _("Say go, watch or roll back.")})
        if decision == Decision.ROLL_BACK and not reason.strip():
            raise ValidationError({"reason": _("Say why in a few words.")})
        with transaction.atomic():
            call = Call.objects.create(
                release=self, by=by, decision=decision, reason=reason.strip()[:500], evidence=evidence
            )
            record(
                self.product.workspace, "release.called", self, by, tells=True, decision=decision, reason=call.reason,
                call=call.pk,
            )  # fmt: skip
        return call

    def previous(self) -> Release | None:
        """The release that was out before this one."""
        if self.shipped_at is None:
            return Release.objects.filter(product=self.product_id).exclude(pk=self.pk).in_order().first()
        return (
            Release.objects.filter(product=self.product_id, shipped_at__lt=self.shipped_at).in_order().first()
        )


class Deploy(models.Model):
    release = models.ForeignKey(Release, models.CASCADE, related_name="deploys")
    environment = models.CharField(_("environment"), max_length=40, default="production")
    percentage = models.PositiveSmallIntegerField(
        _("share of users"), null=True, blank=True, validators=[MinValueValidator(0), MaxValueValidator(100)]
    )
    at = models.DateTimeField(default=timezone.now)
    source = models.CharField(max_length=10, default="api")

    class Meta:
        ordering = ["at"]
        constraints = [
            models.UniqueConstraint(fields=["release", "environment", "at"], name="deploy_once"),
            models.CheckConstraint(
                condition=models.Q(percentage=None) | models.Q(percentage__range=(0, 100)),
                name="deploy_percentage",
            ),
        ]
        indexes = [models.Index(fields=["environment", "at"], name="deploy_environment")]


class Decision(models.TextChoices):
    GO = "go", _("Go")
    WATCH = "watch", pgettext_lazy("call", "Watch")
    ROLL_BACK = "roll_back", _("Roll back")


class Call(models.Model):
    """What a named person decided while a release was watched, with the evidence as it was. Never changed: a new call
    stands above the old one."""

    release = models.ForeignKey(Release, models.CASCADE, related_name="calls")
    decision = models.CharField(max_length=9, choices=Decision)
    reason = models.CharField(max_length=500, blank=True)
    evidence = models.JSONField()
    by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-at", "-id"]
        constraints = [
            models.CheckConstraint(condition=models.Q(decision__in=Decision.values), name="call_decision")
        ]
