"""Finds what was already said, in other words and in three languages, with core PostgreSQL and rapidfuzz.

PostgreSQL narrows by shared character 3-grams of the telling words (GIN), rapidfuzz ranks the few that are left.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from rapidfuzz import fuzz

from productops.lib.text import fold, grams

#: Below this score (0..100) two texts are not called similar.
NEAR = 48.0

# The commonest words of the three languages tell nothing about a problem.
_STOP = frozenset(
    fold(
        """
    a al algo ante as ao aos com como con cuando da das de del desde do dos e el ela ele eles ella en entre era es esa
    ese eso esta este esto eu fue ha hace hay isso isto la las le les lo los mas me meu mi minha muito muy na nas nao
    ni no nos o os ou para pela pelo pero por porque pra qual que quando quem se sem ser si sido sin sobre son su sua
    sus te tem tengo tiene um uma un una uno voce y ya yo
    about after all am an and any are as at be because been but by can cannot could did do does doing for from get had
    has have he her here his how i if in into is it its just me my no not of on or our out she so some than that the
    their them then there they this to up us was we were what when where which who why will with would you your
    cliente customer user usuario
    """
    ).split()
)
# Beginnings of words for the same thing of a digital product, so that the three languages meet. The longest
# beginning that fits wins; the first of a line stands for all of it.
_SAME = {
    stem: line.split()[0]
    for line in (
        "pay pag cobr charg",
        "checkout finaliz compr purchas buy",
        "fail fall falh error erro brok roto quebr",
        "search busc pesquis find procur encontr",
        "filter filtr",
        "save savi guard salv",
        "slow lent demor tard",
        "login logar entrar sesion sessao acced acess senha contrasen passw signin",
        "invoice factur fatur",
        "export descarg baixar download",
        "card tarjet carta",
        "cart carrit carrin cesta",
        "order pedid encomend",
        "button boton botao",
        "page pagin screen pantall tela",
        "mail corre email",
        "understand entiend entend comprend confus confund",
        "list lista",
        "delete borr elimin apag exclu remov quit",
        "price preci prec cost",
        "app aplic phone movil celular telef",
        "close cierr fech crash trav congel freez",
    )
    for stem in line.split()
}
_STEMS = (min(map(len, _SAME)), max(map(len, _SAME)))
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Match:
    item: Any
    score: float
    shared: tuple[str, ...]  # the words both have, as they were typed


def words(text: str) -> list[str]:
    """The telling words of a text: folded, without stop words, synonyms brought to one form."""
    return [word for word, _typed in _pairs(text)]


def _pairs(text: str) -> list[tuple[str, str]]:
    """Each telling word in its common form, with the word as it stands in the folded text."""
    found = [w for w in _WORD.findall(fold(text)[:4000]) if w not in _STOP and (len(w) > 2 or w.isdigit())]
    return [(_same(w), w) for w in found]


def key(text: str) -> list[str]:
    """What is stored beside a text so that PostgreSQL can find its neighbours."""
    return sorted(grams(" ".join(words(text))))[:400]


def rank(typed: str, candidates: Iterable[tuple[Any, str]], limit: int = 5) -> list[Match]:
    """The candidates (item, its text) that mean the same as `typed`, best first."""
    pairs = _pairs(typed)
    wanted, own = [w for w, _typed in pairs], dict(pairs)
    if not wanted:
        return []
    found = []
    for item, text in candidates:
        theirs = words(text)
        score = _score(wanted, theirs)
        if score >= NEAR:
            shared = tuple(dict.fromkeys(own[w] for w in wanted if w in theirs))
            found.append(Match(item, score, shared[:4]))
    return sorted(found, key=lambda match: -match.score)[:limit]


def _same(word: str) -> str:
    for length in range(min(len(word), _STEMS[1]), _STEMS[0] - 1, -1):
        if word[:length] in _SAME:
            return _SAME[word[:length]]
    return word


def _score(wanted: list[str], theirs: list[str]) -> float:
    if not theirs:
        return 0.0
    one, other = " ".join(sorted(set(wanted))), " ".join(sorted(set(theirs)))
    together = fuzz.token_set_ratio(one, other)
    # token_set_ratio is 100 as soon as one text is inside the other; one shared word must not be enough.
    shared = len(set(wanted) & set(theirs))
    score = 0.6 * together + 0.4 * 100 * min(1.0, shared / min(3, len(set(wanted))))
    return float(score * 0.6 if shared < 2 <= len(set(wanted)) - 1 else score)
