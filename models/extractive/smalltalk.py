"""Greetings, thanks and questions about the model itself, answered honestly."""

import re
from collections.abc import Sequence

from models.messages import ToolSpec

_GREETING = re.compile(
    r"^(?:hi|hello|hey|hiya|howdy|good (?:morning|afternoon|evening|day)|greetings|hallo|bonjour|hola)"
    r"(?: (?:there|everyone|cairn|all|again))?[\s!.,?！。]*$",
    re.IGNORECASE,
)
_THANKS = re.compile(
    r"^(?:ok(?:ay)?,? |great,? )?(?:many thanks|thanks?(?: you)?(?: (?:so|very) much| a lot)?|thx|cheers|谢谢)"
    r"(?:,? (?:cairn|bye))?[\s!.。！]*$",
    re.IGNORECASE,
)
_BYE = re.compile(r"^(?:good ?bye|bye(?: bye)?|see you(?: later)?|再见)[\s!.。！]*$", re.IGNORECASE)
_TOLD = re.compile(
    r"^(?:by the way,? |well,? |so,? )?(?:i|i['’](?:m|ve|d)|my|we|we['’]re|our|call me)\b[^?]{2,300}$", re.IGNORECASE
)
_SELF = re.compile(
    r"^(?:(?:hi|hello|hey)[,!.]? )?(?:who|what) are you\b|\bare you (?:a|an) (?:ai|bot|robot|human|person|chatbot"
    r"|language model|llm|real)|^what can (?:you|i ask you|you do)\b.{0,20}$|^how are you\b|^help[?!.]?$"
    r"|^what(?:'s| is) your name|^(?:which|what) model are you|^你是谁|^how (?:do|can) (?:you|i) (?:work|use this)\b",
    re.IGNORECASE,
)

INTRODUCTION = (
    "I am Cairn's built-in extractive model: I answer with the documents' own sentences and say where they stand. "
    "I do not write freely as a language model does."
)


TOLD = "Thank you for telling me."


def tells(text: str) -> bool:
    """Whether somebody tells of himself and asks nothing."""
    return _TOLD.match(text.strip()) is not None


def small_talk(text: str, tools: Sequence[ToolSpec]) -> str | None:
    """A reply to small talk, or None when the text is something else."""
    text = text.strip()
    if not text:
        return f"{INTRODUCTION} What would you like to know?"
    if _THANKS.match(text):
        return "You are welcome."
    if _BYE.match(text):
        return "Goodbye."
    if _GREETING.match(text):
        return f"Hello! {INTRODUCTION} What would you like to know?"
    if _SELF.search(text):
        shown = next((example for spec in tools for example in spec.examples), None)
        return f"{INTRODUCTION}" + (
            f' I can also use tools when a question calls for one, such as "{shown}"' if shown else ""
        )
    return None
