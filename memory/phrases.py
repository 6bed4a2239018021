"""How people say what is worth remembering of them, in English and German: what kind of thing a clause says, and of what.

A pattern reads a clause from its beginning. What it must not be mistaken for stands beside it.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from memory.records import Kind

_MAX_SLOT = 64
_MAX_WORDS = 40


@dataclass(frozen=True, slots=True)
class Said:
    """What a clause says.

    Attributes:
        slot: What its writer has one of, so that the next that is said of it takes its place.
    """

    kind: Kind
    text: str
    slot: str | None


Read = Callable[[str, re.Match[str]], Said | None]

_NOTHING = (
    r"(?!(?:it|this|that|these|those|them|him|her|you|your|to know|how|what|when|where|why|if|das|es|dein|ihr)\b)"
)
_HABITS = (
    "eat|drink|fly|travel|pay|wear|use|buy|order|work|sleep|drive|smoke|watch|read|listen|take|sit|shop|cook|ship|book"
    "|stay|choose|answer|play|run|cycle|speak|write|carry|bring|park|rent|study|train|add|put|want|prefer|have"
)
_MANNERS = (
    "answer|reply|respond|write|speak|talk|address|use|contact|e-?mail|text|phone|message|ring|keep|be|show|give|tell"
    "|send|explain|format|include|call|deliver|ship|antworte|schreib|schreibe|sprich|benutze|verwende|halte|zeige?"
)
_THINGS = (
    r"(?:[\w-]+ ){0,2}size|(?:first |last |middle |full |user |nick ?)?name|nickname|birthday|date of birth|pronouns"
    r"|(?:e-?mail|postal|home|work|delivery|shipping|billing)(?: address)?|address|(?:post|postal|zip) ?code"
    r"|(?:phone|mobile|cell)(?: number)?|time ?zone|job|profession|occupation|employer|company|height|weight|blood type"
    r"|(?:native|first|mother|preferred|second) (?:language|tongue)|mother tongue|language|currency|nationality"
    r"|favou?rite [\w -]{2,30}?|preferred [\w -]{2,30}?|diet|home ?town|city|country|home airport|hobby|hobbies"
    r"|(?:wife|husband|partner|son|daughter|dog|cat|boss|mother|father|brother|sister|doctor|manager)(?:['’]s [\w ]{2,20})?"
)
_DINGE = (
    r"(?:schuh|kleider|hemd|hosen|konfektions|ring)?größe|(?:vor|nach|spitz|benutzer)?name|geburtstag|adresse|anschrift"
    r"|e-?mail(?:-adresse)?|(?:telefon|handy)nummer|postleitzahl|beruf|sprache|muttersprache|lieblings\w+|zeitzone"
)
_NO_NAME = (
    r"(?!(?:not|on|in|at|the|a|an|wrong|missing|spelled|misspelled|spelt|back|later|when|if|tomorrow|today|tonight|now|again"
    r"|maybe|asap|soon|anytime|before|after|by|for|to|as|under|written|listed|falsch|nicht|auf|morgen|heute|später|zurück"
    r"|monday|tuesday|wednesday|thursday|friday|saturday|sunday|old|crazy|stupid|only)\b)"
)
_NAME = rf"{_NO_NAME}(?P<what>[^\W\d_][\w'’.-]*(?: [^\W\d_][\w'’.-]*){{0,3}})$"
_NO_PLACE = (
    r"(?!(?:a|an|my|our|fear|hope|peace|the (?:moment|past|present|same|city|country|area|suburbs|middle)|your|this|that"
    r"|another|new|next|group|team|page|step|here|there|einer?m?|der|dem|meine[mr]?)\b)"
)
_PLACE = rf"{_NO_PLACE}(?P<what>[^\W\d_][^,.:]{{1,60}}?)"
_SINCE = (
    r"(?:\s+(?:now|again|today|at the moment|these days|last \w+|this \w+|recently|yesterday|since .{2,30}|in \d{4}|for .{2,30}"
    r"|with .{2,40}|anymore|any more|jetzt|inzwischen|seit .{2,30}|letzte[ns]? \w+|gezogen|umgezogen))?$"
)
_COUNTRIES = frozenset(
    "germany austria switzerland france italy spain portugal england scotland wales ireland britain poland denmark sweden"
    " norway finland iceland netherlands belgium luxembourg greece turkey hungary romania bulgaria croatia serbia slovenia"
    " slovakia czechia ukraine estonia latvia lithuania usa us uk america canada mexico brazil argentina chile japan china"
    " india korea australia deutschland österreich schweiz frankreich italien spanien".split()
)
_FOLK = (
    r"kids?|child(?:ren)?|sons?|daughters?|twins|dogs?|cats?|pets?|wife|husband|partner|brothers?|sisters?|grandchild(?:ren)?"
    r"|baby|babies|horses?|garden|allotment|balcony|motorbike|car|hund|hunde|katzen?|kinder?|sohn|tochter|garten"
)


def say(clause: str) -> Said | None:
    """What a clause says that is worth remembering, if anything."""
    if clause.count(" ") >= _MAX_WORDS:
        return None
    return next(_found(clause), None)


def _found(clause: str) -> Iterator[Said]:
    for pattern, read in _PATTERNS:
        match = pattern.match(clause)
        if match is not None and (said := read(clause, match)) is not None:
            yield said


def sentence(clause: str) -> str:
    """A clause as a sentence of its own."""
    text = " ".join(clause.split()).strip(" ,;:-–—")
    return f"{text[:1].upper()}{text[1:]}" + ("" if text.endswith((".", "!", "…")) else ".")


def _kept(clause: str, match: re.Match[str], *, kind: Kind, slot: str | None = None) -> Said:
    """The clause as it is; its slot is given, or named by what it is about."""
    named = slot if slot is not None else match.groupdict().get("slot")
    return Said(kind, sentence(clause), _slot(named))


def _about(clause: str, match: re.Match[str], *, kind: Kind, prefix: str) -> Said:
    """The clause; of what it is about its writer has one, as he has one opinion of tea."""
    return Said(kind, sentence(clause), _slot(f"{prefix} {_bare(match['what'])}"))


def _told_to(clause: str, match: re.Match[str]) -> Said | None:
    """What is to be remembered, in so many words: as it would be read by itself, else as a fact."""
    what = match["what"].strip()
    if what.count(" ") < 1:
        return None
    return say(what) or Said("fact", sentence(what), None)


def _from_now_on(clause: str, match: re.Match[str]) -> Said | None:
    """An order for the time to come. How to be talked to is a preference; any other is a rule, which policy keeps back."""
    what = match["what"].strip()
    if re.match(r"(?:i|we|my|ich|mein\w*|call me|nenn mich)\b", what, re.IGNORECASE):
        return say(what)
    return _order(what)


def _always(clause: str, match: re.Match[str]) -> Said | None:
    return _order(clause)


def _order(what: str) -> Said:
    verb = re.match(
        rf"(?:please |always |never |only |don['’]t |do not |immer |nie |bitte )*(?P<verb>{_MANNERS})\b", what, re.I
    )
    if verb is None:
        return Said("rule", sentence(what), None)
    language = re.search(
        r"\b(?:in|auf) (?:english|german|french|spanish|italian|dutch|polish|[a-zäöü]+isch)\b", what, re.I
    )
    return Said("preference", sentence(what), "language of answers" if language else _slot(f"how to {verb['verb']}"))


def _place(clause: str, match: re.Match[str]) -> Said:
    what = re.sub(r"^the ", "", match["what"].casefold())
    return Said("profile", sentence(clause), "country" if what in _COUNTRIES else "city")


def _my_way(clause: str, match: re.Match[str]) -> Said:
    """`I like my coffee black`: of how he likes it he has one."""
    return Said("preference", sentence(clause), _slot(match["slot"]))


def _rather(clause: str, match: re.Match[str]) -> Said:
    """`I prefer aisle seats`: of which seats he prefers he has one."""
    words = _bare(
        re.split(r"\s(?:over|to|instead of|rather than|for|on|in|at|when|with|als|statt)\s", match["what"])[0]
    ).split()
    return Said("preference", sentence(clause), _slot(f"prefers {words[-1]}") if len(words) > 1 else None)


def _mine(clause: str, match: re.Match[str]) -> Said | None:
    """`My shoe size is 43`."""
    thing = match["thing"].casefold()
    if re.match(
        r"(?:not )?(?:wrong|missing|late|broken|gone|here|there|correct|unknown|a |an |in |on |at |with )",
        match["what"],
        re.I,
    ):
        return None
    name = thing in {"name", "first name", "full name", "vorname"}
    if name and not re.match(_NAME, match["what"]):
        return None
    kind: Kind = "preference" if re.match(r"favou?rite|preferred|lieblings", thing) else "profile"
    return Said(kind, sentence(clause), _slot("name" if name else thing))


def _bare(what: str) -> str:
    """What it is about, without what only says how much of it or since when."""
    bare = re.sub(
        r"\b(?:the|a|an|my|any|all|some|very much|a lot|anymore|any more|at all|really|der|die|das|gern|sehr)\b",
        " ",
        what,
        flags=re.I,
    )
    return " ".join(bare.split()[:5])


def _slot(name: str | None) -> str | None:
    return None if name is None else " ".join(name.casefold().replace("’", "'").split())[:_MAX_SLOT] or None


_I = r"(?:I|we|ich)"
_SURE = r"(?:(?:really|also|still|just|much|very much|usually|generally|mostly|absolutely|strongly|actually|always|would|particularly) )*"
_TELLS: Sequence[tuple[str, Read]] = (
    # In so many words.
    (r"(?:(?:please|can you|could you|will you|would you) )*remember(?:,| that|:)? (?!to\b|when|how|what|me\b|us\b|the time|if)(?P<what>.+)", _told_to),
    (r"(?:please )?(?:don['’]t|do not|never) forget(?:,| that|:) (?P<what>.+)", _told_to),
    (r"(?:please )?(?:make|take) a note(?: of this)?(?: that|:|,) (?P<what>.+)", _told_to),
    (r"(?:bitte )?(?:merke? dir|kannst du dir merken|vergiss nicht)(?: bitte)?,?(?: dass|:)? (?P<what>.+)", _told_to),
    (r"(?:please )?(?:remember|don['’]t forget) to (?P<what>.+)", _from_now_on),
    (r"(?:please,? )?(?:from now on|in (?:the )?future|going forward|for the future|ab jetzt|von nun an|künftig|in zukunft)[,:]? (?:please |bitte )?(?P<what>.+)", _from_now_on),
    (rf"(?:please )?(?:always|never|immer|nie) (?:{_MANNERS})\b.+", _always),
    # Who somebody is.
    (rf"(?:please |just )*(?:call me|nenn(?:e|t)? mich(?: bitte)?) {_NAME}", partial(_kept, kind="profile", slot="name")),
    (rf"(?:my name['’]s|I am called|I['’]m called|I go by|ich hei(?:ß|ss)e) {_NAME}", partial(_kept, kind="profile", slot="name")),
    (rf"{_I} (?:currently |now |still )*(?:no longer |don['’]t )?(?:live|reside) in {_PLACE}{_SINCE}", _place),
    (rf"{_I}(?:['’]ve| have)? (?:just |recently )*(?:moved|relocated) (?:from .{{2,40}} )?to {_PLACE}{_SINCE}", _place),
    (rf"ich (?:wohne|lebe)(?: jetzt| nicht mehr| inzwischen)? in {_PLACE}{_SINCE}", _place),
    (rf"ich bin (?:\w+ )?nach {_PLACE} (?:um)?gezogen$", _place),
    (rf"I(?:['’]m| am) (?:now |based )*(?:based|living) in {_PLACE}{_SINCE}", _place),
    (r"I(?:['’]m| am) (?:not |severely |highly |very |no longer )*allergic to (?P<what>.{2,60})", partial(_about, kind="profile", prefix="allergy to")),
    (r"I(?:['’]ve| have) (?:a |an )(?:severe |bad )?(?P<what>[\w ]{2,30}?) (?:allergy|intolerance)", partial(_about, kind="profile", prefix="allergy to")),
    (r"my (?P<slot>[\w'’]+ (?:is|are) allergic to .{2,60})", partial(_kept, kind="fact")),
    (r"I(?:['’]m| am) (?:not |now |no longer )*(?P<what>[\w-]+[- ]intolerant)", partial(_about, kind="profile", prefix="allergy to")),
    (r"I(?:['’]m| am) (?:not |now |no longer |a |strictly |mostly )*(?:vegan|vegetarian|pescatarian|pescetarian|gluten[- ]free|kosher|halal|teetotal|teetotaller|diabetic)\b(?: .*)?$", partial(_kept, kind="profile", slot="diet")),
    (r"ich bin (?:nicht |kein\w* |jetzt )*(?:vegan|vegetarisch|veganer(?:in)?|vegetarier(?:in)?)\b.{0,20}$", partial(_kept, kind="profile", slot="diet")),
    (r"ich bin (?:nicht )?allergisch (?:gegen|auf) (?P<what>.{2,60})", partial(_about, kind="profile", prefix="allergy to")),
    (r"ich vertrage keine?n? (?P<what>.{2,60})", partial(_about, kind="profile", prefix="allergy to")),
    (r"I (?:now )?(?:wear|take|need) (?:a )?size (?P<what>\S+(?: \d+)?)(?: in (?P<slot>[\w ]{2,30}))?$", partial(_kept, kind="profile", slot=None)),
    (rf"my (?P<thing>{_THINGS})(?: is now| is|: |['’]s| are| =) ?(?P<what>.{{1,120}})", _mine),
    (rf"meine? (?P<thing>{_DINGE})(?: ist jetzt| ist|: | sind) ?(?P<what>.{{1,120}})", _mine),
    (r"I was born (?:on|in) .{2,40}", partial(_kept, kind="profile", slot="birth")),
    (r"I(?:['’]m| am) (?:\d{1,3}|[a-z]+(?:-[a-z]+)?) years old", partial(_kept, kind="profile", slot="age")),
    (r"I (?:now )?work as (?:a|an|the) .{2,60}", partial(_kept, kind="profile", slot="job")),
    (r"I (?:now )?work (?:at|for) (?!home|least|you|this|the moment).{2,60}", partial(_kept, kind="profile", slot="employer")),
    (r"I(?:['’]m| am) (?:left|right)-handed.*", partial(_kept, kind="profile", slot="handedness")),
    (r"I (?:only |also )?speak (?:only )?(?:english|german|french|spanish|italian|dutch|polish|turkish|arabic|chinese|japanese|portuguese|russian|ukrainian)\b.{0,40}", partial(_kept, kind="profile")),
    (rf"(?:{_I}(?:['’]ve| have)(?: got)?|ich habe) (?:no |a |an |one |two |three |four |\d |eine?n? |zwei |drei |kein\w* )(?:\w+ ){{0,2}}?(?P<slot>{_FOLK})\b(?:(?! with (?:a|an) (?:problem|issue)).){{0,60}}$", partial(_kept, kind="fact")),
    # What he likes.
    (rf"{_I} {_SURE}(?:like|love|prefer|want|take|drink|have) my (?P<slot>[\w-]+(?: (?:tea|coffee|steak|eggs|invoices?|orders?|parcels?))?) (?!and|but|very|so|because|back|now|refunded|money|fixed|replaced|repaired|delivered tomorrow).{{2,80}}", _my_way),
    (rf"{_I}(?:['’]d| would)? {_SURE}prefer (?!not\b)(?P<what>{_NOTHING}(?!to\b|that\b|a refund|my money|a replacement|an? exchange).{{2,100}})", _rather),
    (rf"{_I}(?:['’]d| would)? {_SURE}(?:prefer|like) (?:not )?to (?P<slot>(?:be (?:contacted|called|addressed)|pay|fly|travel|sit|sleep|work|eat|drink|shop|read))\b.{{0,80}}", partial(_kept, kind="preference")),
    (rf"{_I} (?:(?:don['’]t|do not|no longer|never) )?{_SURE}(?:like|love|enjoy|hate|dislike|adore|can['’]t stand|cannot stand) {_NOTHING}(?!to\b|my\b|the (?:idea|way|look|fact|sound|new|page|product|colou?r)|(?:a|an) )(?P<what>.{{2,80}})", partial(_about, kind="preference", prefix="likes")),
    (rf"{_I}(?:['’]m| am) (?:not )?(?:really |very )?(?:fond of|into|a (?:big |huge )?fan of) {_NOTHING}(?P<what>.{{2,60}})", partial(_about, kind="preference", prefix="likes")),
    (rf"{_I} (?:always|never|only|usually|no longer|don['’]t) (?:ever )?(?P<what>(?:{_HABITS}) {_NOTHING}(?!an? (?:error|problem|answer|reply|account|idea)|(?:any|the) |enough|time).{{2,80}})", partial(_about, kind="preference", prefix="habit:")),
    (rf"ich (?:mag|liebe|hasse|bevorzuge)(?: am liebsten| sehr| lieber)? (?:kein\w* )?{_NOTHING}(?P<what>.{{2,80}})", partial(_about, kind="preference", prefix="likes")),
    (r"ich (?:esse|trinke|fliege|trage|zahle|reise) (?:nie|immer|kein\w*|nur|lieber|gerne?|am liebsten) ?(?P<what>.{2,80})", partial(_about, kind="preference", prefix="habit:")),
)  # fmt: skip
_PATTERNS = [(re.compile(pattern, re.IGNORECASE), read) for pattern, read in _TELLS]
