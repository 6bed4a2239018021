"""Two questions that read alike and cannot have one answer; and those that can."""

import pytest

from retrieval.cache.disagreements import disagreements
from retrieval.cache.words import normal, stem

APART = [
    ("numbers", "Where is order 1042?", "Where is order 1043?"),
    ("numbers", "Set an alarm for 7:30", "Set an alarm for 7"),
    ("numbers", "book a table for two", "book a table for three"),
    ("dates", "What is on my calendar today?", "What is on my calendar tomorrow?"),
    ("dates", "does the shop open on monday", "does the shop open"),
    ("negation", "Can I return opened headphones?", "Can I not return opened headphones?"),
    ("negation", "My card works abroad", "My card doesn't work abroad"),
    ("negation", "delivery with a signature", "delivery without a signature"),
    ("names", "Is there a store in Cork?", "Is there a store in Galway?"),
    ("names", "Is there a store in Cork?", "Is there a store?"),
    ("units", "How heavy is it in kilos?", "How heavy is it in pounds?"),
    ("question type", "When does it arrive?", "Where does it arrive?"),
    ("question type", "how many parcels are there", "how long does a parcel take"),
    ("comparatives", "Which phone is the cheapest?", "Which phone is the fastest?"),
    ("opposites", "turn the light on", "turn the light off"),
    ("opposites", "Turn the music up a bit", "Turn the music down a bit"),
    ("opposites", "add milk to the list", "remove milk from the list"),
    ("opposites", "How do I activate my card?", "How do I deactivate my card?"),
    ("opposites", "the oldest order", "the newest order"),
    ("opposites", "The screen is too bright", "Make the screen brighter"),
    ("opposites", "My heater is too loud", "My heater should be louder"),
    ("opposites", "Make the picture less bright", "Make the picture bright"),
]
ALIKE = [
    ("How long may I return headphones?", "how long may I return headphones, please"),
    ("Isn't the shop open?", "Is the shop open?"),
    ("What's the return policy for headphones?", "Tell me the return policy for headphones"),
    ("I can't log in", "I cannot log in"),
    ("turn the light on", "switch the light on"),
    ("Where is my parcel?", "Where's my parcel"),
    ("Is there a store in Cork?", "is there a store in cork"),
    ("Order 1,000 pens", "Order 1.000 pens"),
    ("The fan is too loud", "this fan is too loud"),
    ("The fan is too loud", "make the fan quieter"),
    ("Wo ist mein Paket?", "wo ist mein paket"),
    ("", ""),
]


@pytest.mark.parametrize(("rule", "one", "other"), APART)
def test_what_they_disagree_in_is_named_both_ways(rule: str, one: str, other: str) -> None:
    assert rule in disagreements(one, other)
    assert rule in disagreements(other, one)


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_nothing_is_said_against_questions_that_mean_the_same(one: str, other: str) -> None:
    assert disagreements(one, other) in ([], ["names"])
    assert disagreements(one, one) == []


@pytest.mark.parametrize("text", ["\x00", "n't " * 5000, "١٢٣ ٤٥", "🙂" * 1000, "A" * 20_000, "'’'’"])
def test_any_text_is_read(text: str) -> None:
    assert disagreements(text, text) == []


def test_an_exact_repeat_has_the_same_normal_form() -> None:
    assert normal("  Where is\u00a0my parcel?? ") == normal("where is my parcel") == "where is my parcel"
    assert normal("ＷＨＥＲＥ") == "where"
    assert normal("on") != normal("off")


@pytest.mark.parametrize(
    ("word", "base"),
    [("stopped", "stop"), ("cards", "card"), ("cancelling", "cancell"), ("is", "is"), ("tries", "try")],
)
def test_forms_of_a_word_meet(word: str, base: str) -> None:
    assert stem(word) == base
