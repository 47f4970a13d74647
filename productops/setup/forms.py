from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts.forms import NewPerson, text
from releases.models import VERSION, Product

if TYPE_CHECKING:
    ProductModelForm = forms.ModelForm[Product]
else:
    ProductModelForm = forms.ModelForm


class WelcomeForm(NewPerson):
    """The first person, their workspace and its first product."""

    email = forms.EmailField(
        label=_("E-mail"), max_length=254, widget=forms.EmailInput(attrs={"autocomplete": "username"})
    )
    workspace = forms.CharField(label=_("Company or team"), max_length=80, widget=text("organization"))
    product = forms.CharField(label=_("Product"), max_length=80, widget=text("off"))
    field_order = ("name", "email", "password", "workspace", "product", "zone")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["name"].widget.attrs["autofocus"] = True


class ProductForm(ProductModelForm):
    class Meta:
        model = Product
        fields = ["name"]
        labels = {"name": _("Name of the product")}


class DeployForm(forms.Form):
    version = forms.CharField(
        label=_("Version"), max_length=120, widget=text("off", placeholder="2.4.0"), validators=[VERSION]
    )
    environment = forms.CharField(label=_("Environment"), max_length=40, initial="production")
    percentage = forms.IntegerField(
        label=_("Share of users, %"), min_value=0, max_value=100, required=False, initial=100
    )
