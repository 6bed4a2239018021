"""Words of a text, folded so that forms of one word meet: the lexical half of every match that the model makes."""

import re
import unicodedata
from functools import lru_cache

_CJK = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_TOKEN = re.compile(rf"[{_CJK}]+|[^\W_{_CJK}]+(?:[.,][0-9]+)*(?:['’][^\W\d_]+)?")
_CJK_RUN = re.compile(rf"[{_CJK}]")

_COMMON = """
a about after all also am an and any are as at be because been before being between both but by can could did do does
doing during each few for from further had has have having he her here hers him his how i if in into is it its itself
just may me might more most must my no nor not of off on once one only or other our out over own please s same shall
she should so some such t than that the their them then there these they this those through to too under until up upon
us very was we were what when where which while who whom whose why will with would you your yours
name named call called kind type tell show give much many long
"""
STOPWORDS = frozenset(_COMMON.split())

_IRREGULAR = {
    form: base
    for base, forms in {
        "become": "became", "begin": "began begun", "break": "broke broken", "bring": "brought", "build": "built",
        "buy": "bought", "catch": "caught", "child": "children", "choose": "chose chosen", "come": "came",
        "die": "dying death", "draw": "drew drawn", "drive": "drove driven", "fall": "fell fallen", "fight": "fought",
        "fly": "flew flown", "foot": "feet", "give": "gave given", "go": "went gone", "grow": "grew grown",
        "hold": "held", "keep": "kept", "know": "knew known", "lead": "led", "leave": "left", "lose": "lost loss",
        "make": "made", "man": "men", "meet": "met", "pay": "paid", "rise": "rose risen", "run": "ran", "say": "said",
        "see": "saw seen", "sell": "sold sale", "send": "sent", "speak": "spoke spoken", "spend": "spent",
        "stand": "stood", "take": "took taken", "teach": "taught", "tell": "told", "think": "thought thinking",
        "wear": "wore worn", "win": "won winner", "woman": "women", "write": "wrote written",
    }.items()
    for form in forms.split()
}  # fmt: skip

_SUFFIXES = (
    "ifications", "ification", "ations", "ation", "itions", "ition", "ments", "ment", "ingly", "edly", "ities", "ity",
    "ions", "ion", "ings", "ing", "ies", "ied", "ers", "ors", "ness", "able", "ible", "ally", "al", "ive", "ous",
    "ed", "er", "or", "es", "ly", "s", "e", "y",
)  # fmt: skip


def tokens(text: str) -> list[str]:
    """The words of a text in order, lower case; a run of Chinese or Japanese gives its overlapping pairs."""
    found: list[str] = []
    for match in _TOKEN.finditer(unicodedata.normalize("NFKC", text).lower()):
        word = match[0]
        if _CJK_RUN.match(word) and len(word) > 1:
            found.extend(word[i : i + 2] for i in range(len(word) - 1))
        else:
            found.append(word)
    return found


@lru_cache(maxsize=16384)
def stem(word: str) -> str:
    """The part that forms of a word share: `returned`, `returns` and `return` give the same.

    Cruder than Porter's stemmer on purpose: it also folds `founder` and `founded`, which helps a question meet its
    answer and costs little among a handful of passages.
    """
    word = word.removesuffix("'s").removesuffix("’s")
    base = _IRREGULAR.get(word, word)
    if not base.isalpha() or not base.isascii():
        return base
    for suffix in _SUFFIXES:
        if base.endswith(suffix) and len(base) - len(suffix) >= 3:
            base = base[: -len(suffix)]
            break
    if len(base) > 3 and base[-1] == base[-2] and base[-1] not in "aeiouls":
        base = base[:-1]
    return base


def terms(text: str) -> list[str]:
    """Stems of the words that carry meaning, in order, repeats kept."""
    return [stem(word) for word in tokens(text) if word not in STOPWORDS]


def is_cjk(text: str) -> bool:
    """Whether a text is (partly) Chinese or Japanese."""
    return _CJK_RUN.search(text) is not None


def word_count(text: str) -> int:
    """Words of a text as a reader counts them; two characters of Chinese or Japanese count as one."""
    return len(re.sub(rf"[{_CJK}]", " ", text).split()) + (len(_CJK_RUN.findall(text)) + 1) // 2
