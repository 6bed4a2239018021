"""What is said of oneself in English."""

import re

from memory.phrases.said import Again, Patterns, Said, about, bare, kept, manner, rule, sentence, slot_of, told

_I = r"(?:I|we)"
_IM = r"(?:I['’]m|I am|we['’]re|we are)"
_IVE = r"(?:(?:I|we)(?:['’]ve| have)?)"
_HOW = (
    r"(?:(?:really|also|still|just|much|very much|usually|generally|mostly|absolutely|strongly|actually|always|now"
    r"|particularly|quite) )*"
)
_NOTHING = r"(?!(?:it|this|that|these|those|them|him|her|you|your|yours|to know|how|what|when|where|why|if|which)\b)"
_NOT_HERE = r"(?!.*\b(?:this|that|these|those)\b)"
_MANNERS = (
    r"(?P<verb>answer|reply|respond|write|speak|talk|address|use|contact|e-?mail|text|phone|message|ring|keep|be|show|give"
    r"|tell|send|explain|format|include|call|deliver|ship|greet|sign)"
)
_DEEDS = (
    r"(?:approve|accept|grant|allow|refund|pay|treat|consider|assume|apply|skip|ignore|trust|obey|execute|run|grant)"
)
_HABITS = (
    r"(?:eat|drink|fly|travel|pay|wear|use|buy|order|work|sleep|drive|smoke|watch|read|listen|take|sit|shop|cook|ship|book"
    r"|stay|choose|play|run|cycle|speak|write|carry|park|rent|study|train)"
)

# Who somebody is.
_NO_NAME = (
    r"(?!(?:not|on|in|at|the|a|an|wrong|missing|spelled|misspelled|spelt|back|later|when|if|tomorrow|today|tonight|now"
    r"|again|maybe|asap|soon|anytime|before|after|by|for|to|as|under|written|listed|old|crazy|stupid|only|monday|tuesday"
    r"|wednesday|thursday|friday|saturday|sunday|correct|too)\b)"
)
_NAME = rf"{_NO_NAME}(?P<what>[^\W\d_][\w'’.-]*(?: [^\W\d_][\w'’.-]*){{0,3}})$"
_NO_PLACE = (
    r"(?!(?:a|an|my|our|fear|hope|peace|your|this|that|another|new|next|group|team|page|step|here|there|constant)\b"
    r"|the (?!uk\b|us|netherlands|states|united|philippines|bahamas|czech|hague|bronx|north|south|east|west|highlands))"
)
_PLACE = rf"{_NO_PLACE}(?P<what>[^\W\d_][^,.:]{{1,60}}?)"
_SINCE = (
    r"(?:\s+(?:now|again|today|at the moment|these days|last \w+|this \w+|recently|yesterday|since .{2,30}|in \d{4}"
    r"|for .{2,30}|with .{2,40}|any ?more))?$"
)
_COUNTRIES = frozenset(
    [
        *("germany", "austria", "switzerland", "france", "italy", "spain", "portugal", "england", "scotland", "wales"),
        *(
            "ireland",
            "britain",
            "poland",
            "denmark",
            "sweden",
            "norway",
            "finland",
            "iceland",
            "netherlands",
            "belgium",
        ),
        *("greece", "turkey", "hungary", "romania", "bulgaria", "croatia", "serbia", "slovenia", "slovakia", "czechia"),
        *("ukraine", "estonia", "latvia", "lithuania", "luxembourg", "usa", "us", "uk", "united states", "america"),
        *("united kingdom", "canada", "mexico", "brazil", "argentina", "chile", "japan", "china", "india", "australia"),
    ]
)
_DIETS = r"(?:vegans?|vegetarians?|pesc[ae]tarians?|gluten[- ]free|kosher|halal|teetotal|teetotallers?|diabetics?)"
_THINGS = (
    r"(?:(?:[\w-]+ ){0,2}size|(?:first |last |middle |full |user |nick ?)?name|nickname|birthday|date of birth|pronouns"
    r"|(?:(?:new|e-?mail|postal|home|work|delivery|shipping|billing) )*address|e-?mail|(?:post|postal|zip) ?code"
    r"|(?:phone|mobile|cell) number|time ?zone|job|profession|occupation|employer|height|weight|blood type"
    r"|(?:native|first|mother|preferred|second) (?:language|tongue)|language|currency|nationality|diet|home ?town"
    r"|favou?rite [\w -]{2,30}?|preferred [\w -]{2,30}?|home airport|hobby|hobbies)"
)
_WRONG = (
    r"(?!(?:not |still |also )*(?:wrong|missing|late|broken|gone|here|there|correct|incorrect|unknown|misspelled|sold"
    r"|out|unavailable|blocked|locked|changed|a |an |in |at |with |to ))"
)
_FOLK = r"(?:wife|husband|partner|boyfriend|girlfriend|son|daughter|dog|cat|boss|mother|father|brother|sister|doctor)"
_HOUSEHOLD = (
    r"kids?|child(?:ren)?|sons?|daughters?|twins|dogs?|cats?|pets?|wife|husband|partner|brothers?|sisters?|baby|babies"
    r"|grandchild(?:ren)?|horses?|garden|allotment|balcony|motorbike|car"
)
_LANGUAGES = (
    r"(?:english|german|french|spanish|italian|dutch|polish|turkish|arabic|chinese|japanese|portuguese|russian"
    r"|ukrainian|catalan|swedish|danish|norwegian|finnish|czech|greek|hindi|korean)"
)
_SHORT = r"(?!(?:\S+\s+){14}\S)"
"""Longer ones are about the moment."""

_SERVED = "tea|coffee|steak|eggs|food|room"
_LIKES = r"(?:like|love|enjoy|hate|dislike|adore|can['’]t stand|cannot stand)"


def _place(match: re.Match[str]) -> Said:
    what = re.sub(r"^the ", "", match["what"].casefold())
    return Said("profile", sentence(match.string), "country" if what in _COUNTRIES else "city")


def _rather(match: re.Match[str]) -> Said:
    """`I prefer aisle seats`: of which seats somebody prefers he has one."""
    chosen = re.split(r"\s(?:over|to|instead of|rather than|for|on|in|at|when|with)\s", match["what"])[0]
    words = bare(chosen).split()
    return Said("preference", sentence(match.string), slot_of(f"prefers {words[-1]}") if len(words) > 1 else None)


def _mine(match: re.Match[str]) -> Said | None:
    """`My shoe size is 43`."""
    thing = match["thing"].casefold()
    is_name = thing in {"name", "first name", "full name"}
    if is_name and not re.match(_NAME, match["what"], re.IGNORECASE):
        return None
    preferred = thing.startswith(("favo", "preferred"))
    slot = "name" if is_name else re.sub(r"^new ", "", thing)
    return Said("preference" if preferred else "profile", sentence(match.string), slot_of(slot))


def _from_now_on(match: re.Match[str]) -> Again:
    what = match["what"].strip()
    ordered = re.match(
        rf"(?P<what>(?:please |always |never |only |don['’]t |do not )*{_MANNERS}\b.+)", what, re.IGNORECASE
    )
    otherwise = manner(ordered) if ordered else Said("rule", sentence(what), None)
    himself = re.match(r"(?:I|we|my|call me)\b", what, re.IGNORECASE)
    return Again(what, None if himself else otherwise)


ENGLISH: Patterns = (
    # In so many words.
    (
        (
            r"(?:(?:please|can you|could you|will you|would you) )*remember(?:,| that|:)? "
            r"(?!to\b|you\b|(?:this|that|these|it) ?\w*$|when|how|what|me\b|us\b|the time|if)(?P<what>.+)"
        ),
        told,
    ),
    (r"(?:please )?(?:don['’]t|do not|never) forget(?:,| that|:) (?P<what>.+)", told),
    (r"(?:please )?(?:make|take) a note(?: of this)?(?: that|:|,) (?P<what>.+)", told),
    (rf"(?:please )?(?:remember|don['’]t forget) to (?P<what>(?:please |always |never )*{_MANNERS}\b.+)", manner),
    (
        r"(?:please,? )?(?:from now on|in (?:the )?future|going forward|for the future)[,:]? (?:please )?(?P<what>.+)",
        _from_now_on,
    ),
    (rf"(?P<what>(?:please )?(?:always|never) {_MANNERS}\b.+)", manner),
    (rf"(?P<what>(?:please )?(?:always|never) {_DEEDS}\b.+)", rule),
    # Who somebody is.
    (rf"(?:please |just )*(?:call me|address me as) {_NAME}", kept("profile", "name")),
    (rf"(?:my name['’]s|{_IM} called|I go by) {_NAME}", kept("profile", "name")),
    (rf"(?:everyone|everybody|people|my friends|friends|they all) calls? me {_NAME}", kept("profile", "name")),
    (rf"{_I} (?:currently |now |still )*(?:no longer |don['’]t )?(?:live|reside) in {_PLACE}{_SINCE}", _place),
    (rf"{_IVE} (?:just |recently )*(?:moved|relocated) (?:from .{{2,40}} )?to {_PLACE}{_SINCE}", _place),
    (rf"{_IM} (?:now )?(?:based|living) in {_PLACE}{_SINCE}", _place),
    (
        rf"{_IM} (?:not |severely |highly |very |no longer )*allergic to {_NOT_HERE}(?P<what>.{{2,60}})",
        about("profile", "allergy to"),
    ),
    (
        rf"{_IVE} (?:a |an )(?:severe |bad )?(?P<what>[\w ]{{2,30}}?) (?:allergy|intolerance)",
        about("profile", "allergy to"),
    ),
    (rf"{_IM} (?:not |now |no longer )*(?P<what>[\w-]+[- ]intolerant)", about("profile", "allergy to")),
    (
        rf"{_IM} (?:not |now |no longer |an? |strictly |mostly |both )*{_DIETS}(?: (?:any ?more|now|since .+))?$",
        kept("profile", "diet"),
    ),
    (rf"{_I} can(?:['’]t|not) (?:eat|drink|tolerate|digest) {_NOTHING}(?P<what>.{{2,60}})", about("fact", "can have")),
    (rf"my (?P<slot>{_FOLK}|kid|child) (?:is|are) .{{0,10}}?(?:allergic to .{{2,60}}|{_DIETS}$)", kept("fact")),
    (
        rf"my (?P<slot>{_FOLK}(?:['’]s [\w ]{{2,20}}|)) (?:is called|is named|is) {_WRONG}[A-Z(\d].{{1,60}}",
        kept("fact"),
    ),
    (
        rf"{_I} (?:now )?(?:wear|take|need) (?:a )?size (?:\S+(?: \d+)?)(?: (?:in|for) (?P<slot>[\w ]{{2,30}}))?$",
        kept("profile"),
    ),
    (rf"my (?P<thing>{_THINGS})(?: is now| is|:|['’]s| are| =) ?+{_WRONG}(?:on )?(?P<what>.{{1,120}})", _mine),
    (rf"{_I} was born (?:on|in) .{{2,40}}", kept("profile", "birth")),
    (rf"{_IM} (?:\d{{1,3}}|[a-z]+(?:-[a-z]+)?) years old", kept("profile", "age")),
    (r"I (?:now )?work as (?:a|an|the) .{2,60}", kept("profile", "job")),
    (r"I (?:now )?work (?:at|for) (?!home|least|you|this|the moment).{2,60}", kept("profile", "employer")),
    (rf"{_IM} (?:left|right)-handed.*", kept("profile", "handedness")),
    (rf"{_I} (?:only |also )?speak (?:only )?{_LANGUAGES}\b.{{0,40}}", kept("profile", "languages spoken")),
    (
        (
            rf"{_IVE}(?: got)? (?:no |a |an |one |two |three |four |\d )(?:\w+ ){{0,2}}?(?P<slot>{_HOUSEHOLD})\b"
            r"(?!.*\b(?:problem|issue|question|appointment)\b).{0,60}$"
        ),
        kept("fact"),
    ),
    # What somebody likes.
    (
        (
            rf"{_I} {_HOW}(?:like|love|prefer|take|drink|want(?= my (?:{_SERVED}))) my "
            r"(?P<slot>[\w-]+(?: (?:tea|coffee|steak|eggs))?) "
            r"(?!and|but|very|so|because|back|now|refunded|fixed|replaced|repaired|delivered).{2,80}"
        ),
        kept("preference"),
    ),
    (
        (
            rf"{_I}(?:['’]d| would)? {_HOW}prefer (?!not\b){_NOTHING}"
            r"(?!to\b|that\b|a refund|my money|a replacement|an? exchange)(?P<what>.{2,100})"
        ),
        _rather,
    ),
    (
        (
            rf"{_I}(?:['’]d| would) rather (?:have|take|sit in|get|sleep in) {_NOTHING}"
            r"(?!a refund|my money|a replacement|an? exchange)(?P<what>.{2,100})"
        ),
        _rather,
    ),
    (
        (
            rf"{_I}(?:['’]d| would)? {_HOW}(?:prefer|like) (?:not )?to (?P<slot>(?:be (?:contacted|called|addressed)"
            r"|pay|fly|travel|sit|sleep|work|eat|drink|shop|read))\b.{0,80}"
        ),
        kept("preference"),
    ),
    (
        (
            rf"{_SHORT}{_I} (?:(?:don['’]t|do not|no longer|never) )?{_HOW}{_LIKES} {_NOTHING}(?!to\b|my\b|an? |me\b"
            r"|us\b|the (?:idea|way|look|fact|sound|new|eternal)\b|the (?:\w+ )?\w+$|.*\b(?:ones?|it|you)\b)"
            r"(?P<what>.{2,80})"
        ),
        about("preference", "likes"),
    ),
    (
        (
            rf"{_SHORT}{_IM} (?:not )?(?:really |very )?(?:fond of|into|an? (?:big |huge )?fan of) "
            rf"{_NOTHING}(?P<what>.{{2,60}})"
        ),
        about("preference", "likes"),
    ),
    (
        (
            rf"{_I} (?:always|never|only|usually|no longer|don['’]t) (?:ever )?"
            rf"(?P<what>{_HABITS} {_NOTHING}(?!an? ).{{2,80}})"
        ),
        about("preference", "habit:"),
    ),
)
"""Patterns, and how what they match is read. The first that reads something is believed."""
