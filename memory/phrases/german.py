"""What is said of oneself in German."""

import re

from memory.phrases.said import Again, Patterns, Said, about, kept, manner, rule, sentence, slot_of, told

_DAS = r"(?!(?:es|das|dies\w*|dein\w*|ihr\w*|euch|dich|sie|wie|was|wenn|den|nicht)\b)"
_MANNERS = r"(?P<verb>antworte|schreibe?|sprich|benutze|verwende|halte|zeige?|sende|schicke?|nenne?|duze|sieze|fasse?)"
_DEEDS = r"(?:genehmige|erlaube|erstatte|akzeptiere|ignoriere|behandle|betrachte)"
_NAME = (
    r"(?!(?:falsch|nicht|auf|morgen|heute|später|zurück|im|in|noch|schon|bitte|mal)\b)"
    r"(?P<what>[^\W\d_][\w'’.-]*(?: [^\W\d_][\w'’.-]*){0,3})$"
)
_PLACE = r"(?!(?:einer?m?|der|dem|meine[mr]?|den|dieser?)\b)(?P<what>[^\W\d_][^,.:]{1,60}?)"
_SINCE = r"(?:\s+(?:jetzt|inzwischen|nicht mehr|seit .{2,30}|mit .{2,30}))?$"
_DINGE = (
    r"(?:(?:schuh|kleider|hemd|hosen|konfektions|ring)?größe|(?:vor|nach|spitz|benutzer)?name|geburtstag|adresse"
    r"|anschrift|e-?mail(?:-adresse)?|(?:telefon|handy)nummer|postleitzahl|beruf|muttersprache|lieblings\w+|zeitzone)"
)
_FALSCH = r"(?!(?:nicht|falsch|weg|kaputt|da|hier|noch|leider|zu|im|in|auf|ausverkauft|gesperrt|unbekannt)\b)"
_LÄNDER = frozenset(["deutschland", "österreich", "frankreich", "italien", "spanien", "polen", "england", "dänemark"])


def _ort(match: re.Match[str]) -> Said:
    country = match["what"].casefold() in _LÄNDER
    return Said("profile", sentence(match.string), "country" if country else "city")


def _mein(match: re.Match[str]) -> Said | None:
    ding = match["thing"].casefold()
    if ding in {"name", "vorname"} and not re.match(_NAME, match["what"], re.IGNORECASE):
        return None
    slot = "name" if ding == "vorname" else ding
    return Said("preference" if ding.startswith("lieblings") else "profile", sentence(match.string), slot_of(slot))


def _ab_jetzt(match: re.Match[str]) -> Again:
    what = match["what"].strip()
    ordered = re.match(rf"(?P<what>(?:bitte |immer |nie |nur )*{_MANNERS}\b.+)", what, re.IGNORECASE)
    otherwise = manner(ordered) if ordered else Said("rule", sentence(what), None)
    return Again(what, None if re.match(r"(?:ich|mein\w*|nenn mich)\b", what, re.IGNORECASE) else otherwise)


GERMAN: Patterns = (
    (
        r"(?:bitte )?(?:merke? dir|kannst du dir merken|vergiss nicht)(?: bitte)?,?(?: dass|:)? (?P<what>.+)",
        told,
    ),
    (r"(?:bitte )?(?:ab jetzt|von nun an|ab sofort|künftig|in zukunft)[,:]? (?:bitte )?(?P<what>.+)", _ab_jetzt),
    (rf"(?P<what>(?:bitte )?{_MANNERS} (?:bitte )?(?:mir |mich )?(?:immer|nie|stets)\b.+)", manner),
    (rf"(?P<what>(?:bitte )?{_DEEDS} (?:bitte )?(?:immer|stets)\b.+)", rule),
    (rf"(?:bitte )?nenn(?:e|t)? mich(?: bitte)? {_NAME}", kept("profile", "name")),
    (rf"ich hei(?:ß|ss)e {_NAME}", kept("profile", "name")),
    (rf"ich (?:wohne|lebe)(?: jetzt| nicht mehr| inzwischen)? in {_PLACE}{_SINCE}", _ort),
    (rf"ich bin (?:\w+ ){{0,3}}nach {_PLACE} (?:um)?gezogen$", _ort),
    (
        r"ich bin (?:nicht |kein\w* |jetzt )*(?:vegan|vegetarisch|veganer(?:in)?|vegetarier(?:in)?)\b.{0,20}$",
        kept("profile", "diet"),
    ),
    (r"ich bin (?:nicht )?allergisch (?:gegen|auf) (?P<what>.{2,60})", about("profile", "allergy to")),
    (r"ich vertrage keine?n? (?P<what>.{2,60})", about("profile", "allergy to")),
    (rf"meine? (?P<thing>{_DINGE})(?: ist jetzt| ist|:| sind) ?+{_FALSCH}(?P<what>.{{1,120}})", _mein),
    (
        rf"ich (?:mag|liebe|hasse|bevorzuge)(?: am liebsten| sehr| lieber)? (?:kein\w* )?{_DAS}(?P<what>.{{2,80}})",
        about("preference", "likes"),
    ),
    (
        (
            r"ich (?:esse|trinke|fliege|trage|zahle|reise) (?:nie|immer|kein\w*|nur|lieber|gerne?|am liebsten) ?"
            rf"{_DAS}(?P<what>.{{2,80}})"
        ),
        about("preference", "habit:"),
    ),
    (
        r"ich habe (?:eine?n? |zwei |drei |kein\w* )(?P<slot>hund|hunde|katzen?|kinder?|sohn|tochter|garten)\b.{0,60}$",
        kept("fact"),
    ),
)
"""As ``memory.phrases.english.ENGLISH``."""
