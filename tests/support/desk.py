"""A help desk to test the built-in model at: a small library's passages and tools, and a way to talk."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from models.extractive import ExtractiveModel
from models.messages import Finish, Message, ModelRequest, Passage, ToolCall, ToolSpec
from retrieval.embedding.port import Embedder

TODAY = date(2026, 11, 20)  # a Friday

LOANS = Passage(
    label=1,
    title="Loans",
    heading_path=("Loans", "How long"),
    text=(
        "Books may be kept for four weeks. Films and records may be kept for 7 days. A loan is renewed once, for two "
        "weeks, unless somebody else has reserved the book. Reading glasses are lent at the desk."
    ),
)
FEES = Passage(
    label=2,
    title="Fees",
    heading_path=("Fees",),
    text=(
        "A late book costs €0.20 a day, at most €8.00.\n\n"
        "| Card | Adults | Students | Children |\n|---|---|---|---|\n"
        "| Annual | €24.00 | €12.00 | free |\n| Monthly | €4.00 | €2.00 | free |\n| Day | €1.00 | €1.00 | free |\n\n"
        "We accept:\n\n- cash\n- debit cards\n- bank transfers\n"
    ),
)
HOUSE = Passage(
    label=3,
    title="The house",
    heading_path=("The house", "History"),
    text=(
        "The library was founded by Maren Holt in 1908. She had been a printer in Bergen. It moved to the old mill on "
        "Quay Street in 1954. The mill is open from Tuesday to Saturday because the town pays for five days only. "
        "Dr. J. K. Adeyemi has led the library since 2019."
    ),
)
PASSAGES = (LOANS, FEES, HOUSE)


def tool(name: str, description: str, properties: dict[str, Any], **options: Any) -> ToolSpec:
    """A tool whose arguments are all required unless ``optional`` names them."""
    optional = options.pop("optional", ())
    required = [key for key in properties if key not in optional]
    schema = {"type": "object", "properties": properties, "required": required}
    return ToolSpec(name=name, description=description, parameters=schema, **options)


LOAN_NUMBER = {"type": "integer", "description": "The loan number, e.g. 4711", "minimum": 1}
GET_LOAN = tool(
    "get_loan",
    "Look up a loan: the book, when it is due and whether it can be renewed.",
    {"loan_id": LOAN_NUMBER},
    examples=("When is loan 4711 due?", "What is the state of loan 4801?", "Where is my loan 4750?"),
)
RENEW_LOAN = tool(
    "renew_loan",
    "Renew a loan.",
    {"loan_id": LOAN_NUMBER},
    examples=("Renew loan 4711.", "Please extend my loan 4801."),
    effect="write",
)
BOOK_ROOM = tool(
    "book_room",
    "Book a reading room for a day.",
    {
        "room": {"enum": ["north", "south", "attic"], "type": "string", "description": "The reading room"},
        "day": {"type": "string", "format": "date", "description": "The day of the booking"},
        "people": {"type": "integer", "description": "How many people come", "minimum": 1},
    },
    optional=("people",),
    examples=("Book the north room for tomorrow.", "Reserve the attic on 3 May for 4 people."),
    effect="write",
)
FIND_BOOKS = tool(
    "find_books",
    "Find books in the catalogue by author.",
    {"author": {"type": "string", "description": "The author's name"}},
    examples=("Which books by Ursula Vernon do you have?", "List the books of Toni Morrison."),
)
TOOLS = (GET_LOAN, RENEW_LOAN, BOOK_ROOM, FIND_BOOKS)


@dataclass(frozen=True, slots=True)
class Reply:
    """What the model said: text, or calls as ``(name, arguments)``."""

    text: str
    calls: list[tuple[str, dict[str, Any]]]
    finish: Finish
    pieces: list[str]


@dataclass
class Talk:
    """A conversation with the model. Each message is answered with the passages and tools given."""

    model: ExtractiveModel
    passages: Sequence[Passage] = PASSAGES
    tools: Sequence[ToolSpec] = TOOLS
    messages: list[Message] = field(default_factory=list)

    async def say(self, text: str) -> Reply:
        """The reply to what the user says."""
        self.messages.append(Message(role="user", content=text))
        return await self._reply()

    async def results(self, **contents: Any) -> Reply:
        """The reply once the tools have answered: content by tool, text as it is and anything else as JSON."""
        for name, content in contents.items():
            shown = content if isinstance(content, str) else json.dumps(content)
            self.messages.append(Message(role="tool", content=shown, tool_call_id="call_1", name=name))
        return await self._reply()

    async def _reply(self) -> Reply:
        request = ModelRequest(messages=tuple(self.messages), passages=tuple(self.passages), tools=tuple(self.tools))
        items = [item async for item in self.model.stream(request)]
        pieces = [item for item in items if isinstance(item, str)]
        calls = [item for item in items if isinstance(item, ToolCall)]
        finish = items[-1]
        assert isinstance(finish, Finish)
        self.messages.append(Message(role="assistant", content="".join(pieces), tool_calls=tuple(calls)))
        made = [(call.name, json.loads(call.arguments)) for call in calls]
        return Reply("".join(pieces), made, finish, pieces)


@dataclass(frozen=True, slots=True)
class Desk:
    """Opens conversations."""

    embedder: Embedder

    def talk(self, passages: Sequence[Passage] = PASSAGES, tools: Sequence[ToolSpec] = TOOLS) -> Talk:
        """A new conversation with a new model, on the day ``TODAY``."""
        return Talk(ExtractiveModel(self.embedder.embed, today=lambda: TODAY), passages, tools)
