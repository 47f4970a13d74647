"""What kind of complaint it is, suggested from what the customer just did and from how they say it. Pure.

What was measured goes before words: a failure within half an hour makes it a bug; retries, dead clicks or a look at the
help without any failure make it something not understood. The agent confirms with one key; how often the suggestion
stood is told by what became of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from productops.lib.text import fold

VERSION = 1
BUG, NOT_UNDERSTOOD, IMPROVEMENT, QUESTION, PRAISE = KINDS = (
    "bug", "not_understood", "improvement", "question", "praise"
)  # fmt: skip


@dataclass(frozen=True)
class Doings:
    """What one customer did around a moment: how often things failed, with their names, and signs of struggle in
    sessions in which nothing failed (metrics/detection/sessions.py). `minutes`: before and after."""

    minutes: int
    uses: int = 0
    failed: Mapping[str, int] = field(default_factory=dict)
    signs: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Suggestion:
    """`why`: code ("failed", "struggled", "words") and the values that matched."""

    kind: str
    is_churn_risk: bool = False
    why: tuple[dict[str, Any], ...] = ()


def _any(begins: str) -> re.Pattern[str]:
    found = [" ".join(each.split()) for each in begins.split("/")]
    return re.compile(r"\b(?:" + "|".join(found) + r")\w*")


# Beginnings of folded words, in the three languages. The order is that of the questions asked.
_LEAVING = re.compile(
    r"\b(?:cancel (?:our|my|the) (?:account|subscription|plan|contract)|switch(?:ing)? to|another (?:provider|tool)"
    r"|refund|leav(?:e|ing) you|dar(?:me|nos)? de baja|nos vamos|me voy|cambiar(?:nos|me)? (?:de|a otr)|otro proveedor"
    r"|cancelar (?:mi|la|nuestra|a|o|meu|minha|nossa) (?:cuenta|suscripcion|plan|contrato|conta|assinatura|plano)"
    r"|competencia|reembolso|vamos sair|vou sair|trocar de|outro fornecedor|concorren|estorno)"
)
_PRAISE = _any(
    """
    love / great job / awesome / thank you so / works great / amazing / me encanta / genial / excelente / gracias
    por / felicidades / buenisim / adorei / amei / parabens / otimo trabalho / muito bom / maravilh
    """
)
_FAILS = _any(
    """
    error / fail / crash / broken / bug / doesn t work / does not work / not working / stopped working / time out /
    times out / timeout / wrong / twice / freez / blank / lost / missing / falla / fallo / no funciona / no carga /
    se cierra / se cuelga / se congela / no llega / no puedo / dejo de / erro  / erro$ / falha / nao funciona / nao
    carrega / nao abre / trava / travou / nao chega / nao consigo / sumiu / quebr / parou de / duplicad / en blanco
    / em branco / slow / lent
    """
)
_LOST = _any(
    """
    don t understand / do not understand / didn t understand / confus / where is / where do / where did / can t find
    / cannot find / not clear / unclear / what does / no entiend / no se entiende / no entend / donde esta / donde
    se / donde queda / no encuentr / no queda claro / que significa / nao entend / nao entendi / onde fica / onde
    esta / onde encontro / nao encontr / nao acho / nao esta claro / o que significa
    """
)
_WISH = _any(
    """
    would be nice / would be great / would love / it d be / please add / could you add / wish / feature request /
    suggest / we need / should allow / missing option / estaria bien / estaria bueno / seria bueno / seria ideal /
    podrian / agregar / anadir / sugier / sugerencia / nos gustaria / hace falta / ojala / seria bom / seria otimo /
    poderiam / podiam / adicionar / sugest / gostaria / faz falta / falta uma opcao
    """
)
_ASKS = _any(
    """
    how do / how can / how to / can i / can we / is it possible / is there a way / do you / does it / when will /
    como se / como puedo / como hago / como podemos / se puede / es posible / hay forma / cuando / como faco / como
    posso / como eu / da para / e possivel / tem como / quando vai / cuanto / quanto
    """
)
_NOT_WORD = re.compile(r"[^\w$?!]+")


def suggest(text: str, doings: Doings | None = None) -> Suggestion:
    said = _NOT_WORD.sub(" ", fold(text)[:4_000]).strip()
    leaving = _LEAVING.search(said)
    risk: tuple[dict[str, Any], ...] = ({"code": "leaving", "words": leaving[0]},) if leaving else ()
    kind, why = _by_deeds(doings, said) or _by_words(said)
    return Suggestion(kind, bool(leaving), (*why, *risk))


Found = tuple[str, tuple[dict[str, Any], ...]]


def _by_deeds(doings: Doings | None, said: str) -> Found | None:
    """None: nothing was seen, or the words speak of something else altogether."""
    if doings is None or _PRAISE.search(said) or _WISH.search(said):
        return None
    if doings.failed:
        name = max(doings.failed, key=lambda each: doings.failed[each])
        return BUG, ({"code": "failed", "n": doings.failed[name], "name": name, "minutes": doings.minutes},)
    if doings.signs:
        signs = sorted(doings.signs, key=lambda each: -doings.signs[each])
        return NOT_UNDERSTOOD, ({"code": "struggled", "signs": signs[:2], "minutes": doings.minutes},)
    return None


def _by_words(said: str) -> Found:
    for kind, pattern in (
        (NOT_UNDERSTOOD, _LOST), (IMPROVEMENT, _WISH), (BUG, _FAILS), (PRAISE, _PRAISE), (QUESTION, _ASKS)
    ):  # fmt: skip
        if found := pattern.search(said):
            return kind, ({"code": "words", "words": found[0].strip()},)
    return (QUESTION, ({"code": "words", "words": "?"},)) if said.endswith("?") else (BUG, ())
