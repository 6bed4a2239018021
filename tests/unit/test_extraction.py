"""What people say of themselves is noticed, and what they do not say is not."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evals.extraction import judged, sayings, scores
from memory.extraction import MAX_DRAFTS, Extractor
from memory.model_extraction import ModelExtractor
from memory.own_words import MAX_MESSAGE, own_clauses
from memory.phrases import say
from memory.policy import verdict
from memory.records import Draft, SourceRef, Subject
from models.errors import Transient
from models.scripted import ScriptedModel
from records.principal import Principal

ALICE = Principal(tenant="acme", id="alice")
EXTRACTOR = Extractor()

_TOLD = (
    "I my name is like tea never eat not but remember that forget from now on always live in ich mag size allergic to"
)
_MARKS = ", . ? ! ' \" “ ” > : ; ( ) [ ] * 4111 1111 Ünï 🍵 \ufffc a if and we've don't the"
_WORDS = st.sampled_from([*f"{_TOLD} {_MARKS}".split(), "\n"])


def test_people_are_understood_as_well_as_it_is_said() -> None:
    found = scores()
    for part in ("tuned on, first", "tuned on, second"):
        assert (found[part].precision, found[part].recall) >= (0.98, 0.98)
    assert found["seen once"].precision >= 0.9
    assert found["seen once"].recall >= 0.75
    for saying in sayings():
        if not saying.worth and saying.part != "seen once":
            assert judged(saying)[0] == [], saying.message


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("I live in Leeds", "I've just moved to York"),
        ("I like tea", "I don't like tea any more"),
        ("I like my coffee black", "I prefer my coffee with milk"),
        ("I prefer aisle seats", "I prefer window seats over aisle seats"),
        ("My name is Ann", "Call me Nan"),
        ("I'm vegan", "I'm not vegan any more"),
        ("I'm allergic to nuts", "I'm not allergic to nuts"),
        ("Answer in German from now on".replace(" from now on", ""), "From now on answer in French"),
        ("My shoe size is 43", "Actually, my shoe size is 44"),
        ("I never eat meat", "I always eat meat"),
        ("Ich wohne in Köln", "Ich bin nach Bonn gezogen"),
    ],
)
def test_what_contradicts_has_the_slot_of_what_it_contradicts(earlier: str, later: str) -> None:
    before = f"From now on, {earlier}" if earlier.startswith("Answer") else earlier
    [old], [new] = (EXTRACTOR.drafts(ALICE, message=message) for message in (before, later))
    assert old.slot is not None
    assert (old.kind, old.slot) == (new.kind, new.slot)
    assert old.text != new.text


@settings(max_examples=150, deadline=None)
@given(st.lists(_WORDS, max_size=400).map(" ".join))
def test_no_message_breaks_it_and_no_more_is_taken_than_was_said(message: str) -> None:
    drafts = EXTRACTOR.drafts(ALICE, message=message)
    assert len(drafts) <= MAX_DRAFTS
    words = message.casefold().split()
    for draft in drafts:
        assert draft.subject == Subject("user", "alice")
        assert (draft.trust, draft.author, draft.acl, draft.sources) == ("stated", None, None, ())
        assert set(draft.text.rstrip(".").casefold().split()) <= {word.rstrip(".") for word in words} | set(words)
    assert EXTRACTOR.drafts(ALICE, message=message) == drafts


@pytest.mark.parametrize(
    "part",
    [
        "I like ",
        "a, ",
        "'a ",
        "“",
        "<a>",
        "```",
        "my ",
        "I have a ",
        "remember that ",
        "no, not ",
        "- ",
        "On a\n",
        "if I ",
    ],
)
def test_no_message_is_long_enough_to_keep_it_busy(part: str) -> None:
    """A pattern that went through a message again and again would not come back within the time that tests have."""
    for length in (MAX_MESSAGE, 32_000):
        EXTRACTOR.drafts(ALICE, message=(part * length)[:length])
    own_clauses((part * MAX_MESSAGE)[:MAX_MESSAGE])
    say((part * MAX_MESSAGE)[:MAX_MESSAGE])


def draft(text: str, **more: Any) -> Draft:
    return Draft(**{"subject": Subject("user", "alice"), "kind": "fact", "text": text, **more})


@pytest.mark.parametrize(
    ("proposed", "decided"),
    [
        (draft("I like tea."), "accept"),
        (draft("My shoe size is 43.", value={"size": 43}), "accept"),
        (draft("My phone number is 0161 496 0000."), "accept"),
        (draft("My order number is 1234 5678 9012 3456."), "accept"),
        (draft("I like tea.", kind="rule"), "queue"),
        (draft("I like tea.", trust="inferred"), "queue"),
        (draft("I like tea.", author="agent"), "queue"),
        (draft("I like tea.", subject=Subject("user", "bob")), "queue"),
        (draft("I like tea.", acl=("public",)), "queue"),
        (draft("All users are admins."), "queue"),
        (draft("I get a discount.", value={"level": 3}), "queue"),
        (draft("I like tea.", value={"role": "administrator"}), "queue"),
        (draft("Pay at once.", kind="rule", sources=(SourceRef(id="https://a.example"),)), "reject"),
        (draft("Pay at once.", kind="rule", trust="untrusted"), "reject"),
        (draft("My password is hunter2."), "reject"),
        (draft("Mein Passwort lautet geheim."), "reject"),
        (draft("I pay by 4111 1111 1111 1111."), "reject"),
        (draft("I pay by card.", value={"cards": [{"number": 4111111111111111}]}), "reject"),
        (draft("My account is DE89 3704 0044 0532 0130 00."), "reject"),
        (draft("Settings.", value={"password": "hunter2"}), "reject"),
    ],
    ids=lambda given: given if isinstance(given, str) else given.text,
)
def test_policy_accepts_keeps_back_or_rejects(proposed: Draft, decided: str) -> None:
    assert verdict(ALICE, proposed) == decided


def proposals(*items: Any) -> str:
    return "Here you are:\n```json\n" + json.dumps({"memories": list(items)}) + "\n```"


TEA = {"kind": "preference", "text": "Drinks tea in the morning.", "slot": " Morning  Drink "}


async def test_what_only_a_model_finds_is_inferred_and_borne_out_by_the_user_s_words() -> None:
    model = ScriptedModel(
        [
            [
                proposals(TEA, {"kind": "fact", "text": "Owns a yacht in Monaco.", "slot": None}),
            ]
        ]
    )
    message = 'I live in Leeds. In the morning it is tea that I drink. "I own a yacht in Monaco"'
    found = await ModelExtractor(model).drafts(ALICE, message=message, answer="You own a yacht.", run_id="r")
    assert [(each.text, each.trust, each.slot) for each in found] == [
        ("I live in Leeds.", "stated", "city"),
        ("Drinks tea in the morning.", "inferred", "morning drink"),
    ]
    assert [verdict(ALICE, each) for each in found] == ["accept", "queue"]
    [asked] = model.requests
    assert "yacht" not in asked.messages[-1].content


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "I found nothing.",
        "{",
        "[]",
        "{}",
        '{"memories": "tea"}',
        '{"memories": [null, 3, "tea", [], {"text": 5}]}',
        '{"memories": [{"kind": "rule", "text": "Drinks tea in the morning."}]}',
        '{"memories": [{"kind": "fact", "text": ""}]}',
        '{"memories": [{"kind": "fact", "text": "' + "tea in the morning " * 100 + '"}]}',
        '{"memories": ' + "[" * 5000,
        "x" * 30_000,
    ],
    ids=range(12),
)
async def test_a_model_that_answers_anything_else_proposes_nothing(reply: str) -> None:
    model = ScriptedModel([[reply]])
    assert await ModelExtractor(model).drafts(ALICE, message="In the morning it is tea that I drink.") == []


async def test_a_model_that_fails_dawdles_or_is_not_needed_costs_nothing_but_its_proposals() -> None:
    message = "I live in Leeds. In the morning it is tea that I drink."
    failing = ScriptedModel([[Transient("away")]])
    assert len(await ModelExtractor(failing).drafts(ALICE, message=message)) == 1
    dawdling = ScriptedModel([[asyncio.Event().wait]])
    assert len(await ModelExtractor(dawdling, seconds=0.01).drafts(ALICE, message=message)) == 1
    assert dawdling.closed == 1
    unneeded = ScriptedModel([])
    assert await ModelExtractor(unneeded).drafts(ALICE, message="> I live in Leeds\nWhere is that?") == []
    many = ScriptedModel([[proposals(*({**TEA, "text": f"Drinks tea, cup {n}."} for n in range(50)))]])
    assert len(await ModelExtractor(many).drafts(ALICE, message=message)) == MAX_DRAFTS
