"""Which of the hub's languages a text is in, from its commonest words and its letters. No service, no model."""

from __future__ import annotations

import re

_WORD = re.compile(r"[^\W\d_]+")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_FREQUENT = {
    "en": _words(
        """
        a after all also always an and are as at be but by can can't could did do does doesn't don't every for
        from has have here how i is it just let me more my never no not of on only our please same should since
        so still than that the them then there they this to was we well what when which will with would you your
        """
    ),
    "es": _words(
        """
        a ahora al aquí aún con cuando cómo del desde después dónde el en es eso esta estamos esto estoy está
        fue hace hacer hay hola la las le les lo los me mi misma mismo muy más ni no nos nuestra nuestro
        nuestros nunca o otra otro pero poder por pueden puedo que quiero sale se ser sería siempre sin solo son
        su sólo también tengo tiene todo todos un una usted ustedes ver y ya
        """
    ),
    "pt": _words(
        """
        a agora ainda ao aparece aqui as com como consigo da das depois desde do dos e em estamos estou está eu
        faz fazer fica ficou foi gente isso isto já mais mas me mesma mesmo meu meus minha minhas muito na nas
        nem no nos nossa nosso nossos nunca não o oi olá onde os ou outra outro pela pelo podem poder por posso
        pra pro quando que quero se sem sempre ser seria seu são só também tem tenho todos tudo tá um uma vc ver
        você vocês à às é
        """
    ),
}
#: The commonest words that are not words of the other two.
_COMMON = {
    language: known - frozenset().union(*(other for name, other in _FREQUENT.items() if name != language))
    for language, known in _FREQUENT.items()
}
_LETTERS = {"es": re.compile("[ñ¿¡]|ción"), "pt": re.compile("[ãõçâêôà]|lh|nh")}


def language_of(text: str, default: str = "") -> str:
    """ "en", "es" or "pt"; `default` when it says too little."""
    said = text[:2_000].casefold()
    words = _WORD.findall(said)
    score = {language: float(sum(word in known for word in words)) for language, known in _COMMON.items()}
    for language, letters in _LETTERS.items():
        score[language] += 1.0 * len(letters.findall(said))
    best, second = sorted(score, key=lambda language: -score[language])[:2]
    return best if score[best] >= 1 and score[best] > score[second] else default
