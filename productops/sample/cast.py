"""Who is in the story: the customers of Tienda with their users, and the people of its team. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import NamedTuple
from zoneinfo import ZoneInfo

from productops.lib.text import fold

SEED = 20_260
#: The password of everybody in the sample workspace, told in the docs and by `manage.py sample`.
PASSWORD = "tienda-sample-shop"  # noqa: S105
MAIL = "tienda.example"

CUSTOMERS = 200
#: country -> (time zone, language, web domain's end)
COUNTRIES = {
    "ES": ("Europe/Madrid", "es", "es"),
    "MX": ("America/Mexico_City", "es", "mx"),
    "BR": ("America/Sao_Paulo", "pt-br", "com.br"),
    "GB": ("Europe/London", "en", "co.uk"),
    "US": ("America/Chicago", "en", "com"),
}
PLANS = ("Free", "Team", "Business", "Enterprise")
#: plan -> (share of customers, fewest and most users, lowest and highest revenue a month, activity of a user)
_PLANS = {
    "Free": (0.40, 2, 5, 0, 0, 1.15),
    "Team": (0.36, 3, 6, 29, 99, 1.0),
    "Business": (0.18, 4, 8, 190, 490, 1.0),
    "Enterprise": (0.06, 9, 16, 1_200, 4_800, 0.9),
}
PLATFORMS = ("web", "android", "ios")
_PLATFORM_WEIGHTS = (60, 26, 14)
#: Paying customers that stop using the product two weeks before the end, without a word.
SILENT = 6


class Colleague(NamedTuple):
    name: str
    role: str
    full_name: str
    language: str
    zone: str

    @property
    def email(self) -> str:
        return f"{self.name}@{MAIL}"


TEAM = (
    Colleague("olga", "owner", "Olga Serrano", "es", "Europe/Madrid"),
    Colleague("alice", "manager", "Alice Ferrer", "en", "Europe/Madrid"),
    Colleague("carol", "pm", "Carolina Ruiz", "es", "America/Mexico_City"),
    Colleague("bob", "agent", "Bruno Lima", "pt-br", "America/Sao_Paulo"),
    Colleague("marta", "marketer", "Marta Nogueira", "pt-br", "America/Sao_Paulo"),
    Colleague("victor", "viewer", "Victor Hale", "en", "Europe/London"),
)


@dataclass
class Client:
    """A customer of Tienda: a company with its plan."""

    id: str
    name: str
    country: str
    plan: str
    revenue: int
    is_silent: bool = False
    users: list[Person] = field(default_factory=list)

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(COUNTRIES[self.country][0])

    @property
    def language(self) -> str:
        return COUNTRIES[self.country][1]

    @property
    def domain(self) -> str:
        name = "".join(letter for letter in fold(self.name) if letter.isalnum())
        return f"{name}.{COUNTRIES[self.country][2]}.example"

    def traits(self) -> dict[str, str | int]:
        return {
            "name": self.name,
            "plan": self.plan,
            "revenue": self.revenue,
            "currency": "EUR",
            "language": self.language,
            "domain": self.domain,
        }


@dataclass(eq=False)
class Person:
    """A user: somebody who works at a customer."""

    id: str
    client: Client
    platform: str
    weight: float
    name: str
    #: Decides where they stand in rollouts.
    luck: int
    #: How often they tried the new feature.
    tries: int = 0


def clients() -> list[Client]:
    """The 200 customers with their users, the same every time."""
    rng = Random(SEED)
    named = _companies()
    plans = [plan for plan in PLANS for _n in range(round(_PLANS[plan][0] * len(named)))]
    rng.shuffle(plans)
    found = []
    for number, ((country, name), plan) in enumerate(zip(named, plans, strict=True), 1):
        _share, fewest, most, low, high, activity = _PLANS[plan]
        revenue = round(rng.uniform(low, high) / 5) * 5 - (1 if low else 0)
        client = Client(f"cus_{number:04}", name, country, plan, revenue)
        for place in range(rng.randint(fewest, most)):
            client.users.append(_person(client, place, activity, rng))
        found.append(client)
    paying = [c for c in found if c.plan != "Free"]
    for client in rng.sample(paying, SILENT):
        client.is_silent = True
    return found


def _person(client: Client, place: int, activity: float, rng: Random) -> Person:
    platform = rng.choices(PLATFORMS, _PLATFORM_WEIGHTS)[0]
    name = f"{rng.choice(_FIRST[client.language])} {rng.choice(_LAST[client.language])}"
    weight = activity * rng.uniform(0.6, 1.4)
    return Person(f"{client.id}_u{place + 1}", client, platform, weight, name, rng.getrandbits(48))


def _companies() -> list[tuple[str, str]]:
    country, found = "", []
    for line in (Path(__file__).parent / "companies.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            country = line[1:3]
        elif line and not line.startswith("#"):
            found += [(country, name.strip()) for name in line.split(";")]
    return found[:CUSTOMERS]


def _names(words: str) -> tuple[str, ...]:
    return tuple(words.split())


_FIRST = {
    "es": _names("Lucía Javier Marta Diego Elena Pablo Carmen Sergio Rocío Andrés Ximena Raúl Inés Mateo"),
    "pt-br": _names("Ana João Beatriz Rafael Camila Thiago Larissa Felipe Juliana Gustavo Renata Caio Lívia"),
    "en": _names("Emma Jack Olivia Harry Grace Tom Chloe Ben Megan Sam Hannah Luke Ruth Adam Nora Owen"),
}
_LAST = {
    "es": _names("García Hernández Ortega Navarro Molina Castro Ramos Vega Iglesias Fuentes Salinas Prieto"),
    "pt-br": _names("Silva Souza Oliveira Pereira Rocha Cardoso Teixeira Barbosa Freitas Azevedo Moraes"),
    "en": _names("Smith Taylor Walker Hughes Carter Bennett Foster Reed Clarke Morgan Price Ward Ellis"),
}
