"""Cairn's built-in model: answers in the documents' own words, with no language model behind it."""

import json
import re
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from datetime import UTC, date, datetime

from models.extractive.answering import NOT_FOUND, Answer, compose
from models.extractive.arguments import read_arguments
from models.extractive.asking import ask_for, declines, earlier_requests
from models.extractive.choice import Choice, ToolChooser
from models.extractive.phrasing import phrase
from models.extractive.ranking import Ranked, embedded_text, preselect, rank
from models.extractive.remembering import as_passages, asks_of_himself, remembered_answer
from models.extractive.sentences import Sentence, quotable
from models.extractive.smalltalk import TOLD, small_talk, tells
from models.extractive.vectors import Embed, VectorCache
from models.extractive.wishes import acts
from models.extractive.words import terms
from models.messages import Finish, FinishReason, Message, ModelItem, ModelRequest, Passage, ToolCall, ToolSpec, Usage
from models.port import ModelInfo

SEARCH_TOOL = "search_documents"

_CANDIDATES = 30
_QUESTION_CHARACTERS = 4_000
_CHARACTERS_PER_TOKEN = 4
_FOLLOW_UP_TERMS = 2
_FOLLOW_UP = re.compile(
    r"^(?:and|what about|how about|also|or)\b|\b(?:it|they|them|that one|those|these)\b", re.IGNORECASE
)
_MORE = re.compile(r"^\W*(?:and|what about|how about|also|or)\b", re.IGNORECASE)
_REACH = 3
_PIECE = re.compile(r"\s*\S{1,24}\s*")


class ExtractiveModel:
    """A ChatModel that quotes: it needs no key, no network and no language model, and makes nothing up.

    It answers with the sentences of the passages that best answer the question, each with its citation; calls a tool
    when the question matches the tool's examples and its arguments can be read from the question; asks for those that
    are missing; tells a tool's result by its fields; and says so when it has nothing.

    Args:
        embed: Maps texts to unit vectors, one row each. Called a few times a request, with some forty short texts.
        today: The day against which `tomorrow` is read; the current day (UTC) by default.
    """

    def __init__(self, embed: Embed, *, today: Callable[[], date] | None = None) -> None:
        self._vectors = VectorCache(embed)
        self._today = today or _utc_today
        self._chooser = ToolChooser(self._vectors, self._today)

    @property
    def info(self) -> ModelInfo:
        return ModelInfo(name="extractive", context_tokens=1_000_000, remote=False)

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelItem, None]:
        """Answer, call tools, or ask back. Text comes word by word."""
        reply = await self._reply(request)
        if isinstance(reply, Answer):
            text = _within(reply.text, request.max_tokens)
            for piece in _pieces(text):
                yield piece
            reason: FinishReason = "stop" if text == reply.text else "length"
            yield Finish(reason=reason, usage=_usage(request, text), confidence=reply.confidence)
            return
        for call in reply:
            yield call
        yield Finish(reason="tool_calls", usage=_usage(request, "".join(call.arguments for call in reply)))

    async def aclose(self) -> None:
        """Nothing is held open."""

    async def _reply(self, request: ModelRequest) -> Answer | list[ToolCall]:
        position = _last_user(request.messages)
        question = request.messages[position].content[:_QUESTION_CHARACTERS] if position >= 0 else ""
        results = [message for message in request.messages[position + 1 :] if message.role == "tool"]
        told = [message for message in results if message.name != SEARCH_TOOL]
        if told:
            return _told("\n".join(phrase(question, message.name or "", message.content) for message in told))
        if (reply := small_talk(question, request.tools)) is not None:
            return _told(reply)
        history = request.messages[: position + 1]
        choice = None if results else await self._choose(history, question, request)
        if choice is not None and choice.may_call:
            return _calls(choice)
        answer = await self._answer(_in_context(history, question), request)
        if choice is not None:
            asked = ask_for(choice.reading.missing)
            return _told(f"{answer.text} {asked}" if answer.is_sure else asked)
        if not request.passages and not results and any(spec.name == SEARCH_TOOL for spec in request.tools):
            return [_call(SEARCH_TOOL, {"query": question}, 0, 1.0)]
        if answer.text == NOT_FOUND and tells(question):
            return _told(TOLD)
        return answer

    async def _choose(self, history: Sequence[Message], question: str, request: ModelRequest) -> Choice | None:
        tools = [spec for spec in request.tools if spec.name != SEARCH_TOOL]
        if not tools:
            return None
        pending = await self._pending(history, question, request)
        return pending or await self._chooser.choose(question, tools) or await self._again(history, question, tools)

    async def _pending(self, history: Sequence[Message], question: str, request: ModelRequest) -> Choice | None:
        """The call that the model asked for something about, with what the user has answered now."""
        if declines(question):
            return None
        reaches, asked = earlier_requests(history)
        for first, *answers in reaches:
            choice = await self._chooser.choose(first, request.tools)
            for answer in answers:
                choice = choice and self._completed(choice, answer)
            if choice is None or not choice.reading.missing or not asked.endswith(ask_for(choice.reading.missing)):
                continue
            completed = self._completed(choice, question)
            if len(completed.reading.missing) < len(choice.reading.missing):
                return completed
        return None

    async def _again(self, history: Sequence[Message], question: str, tools: Sequence[ToolSpec]) -> Choice | None:
        """The call before, for another thing: `And 1007?`. What acts is not done again on so little."""
        if not _MORE.match(question):
            return None
        said = [message.content for message in history[:-1] if message.role == "user"]
        for before in said[: -_REACH - 1 : -1]:
            choice = await self._chooser.choose(before, tools)
            if choice is not None and not acts(choice.spec):
                things = [parameter for parameter in choice.parameters if parameter.is_id or parameter.pattern]
                other = choice.completed(read_arguments(things, question, self._today(), bare=True))
                return other if other.may_call and not _same(other, choice) else None
        return None

    def _completed(self, choice: Choice, answer: str) -> Choice:
        return choice.completed(read_arguments(choice.reading.missing, answer, self._today(), bare=True))

    async def _answer(self, question: str, request: ModelRequest) -> Answer:
        ranked, sentences = await self._ranked(question, request.passages)
        if request.memories and asks_of_himself(question):
            of_him, _ = await self._ranked(question, as_passages(request.memories))
            rival = ranked[0].confidence if ranked else float("-inf")
            if (told := remembered_answer(of_him, request.memories, rival)) is not None:
                return Answer(text=told, is_sure=True)
        return compose(question, ranked, sentences)

    async def _ranked(self, question: str, passages: tuple[Passage, ...]) -> tuple[list[Ranked], list[Sentence]]:
        sentences = quotable(passages)
        candidates = preselect(question, sentences, _CANDIDATES)
        if not candidates:
            return [], []
        vectors = await self._vectors.of([question, *map(embedded_text, candidates)])
        return rank(question, candidates, vectors[0], vectors[1:]), sentences


def _told(text: str) -> Answer:
    """What is no claim of the documents', and so leaves nothing to doubt."""
    return Answer(text=text, is_sure=True)


def _same(one: Choice, other: Choice) -> bool:
    return one.reading.calls == other.reading.calls


def _last_user(messages: Sequence[Message]) -> int:
    return next((i for i in range(len(messages) - 1, -1, -1) if messages[i].role == "user"), -1)


def _in_context(history: Sequence[Message], question: str) -> str:
    """A follow-up (`And for earphones?`) read together with the question before it."""
    # With a name it is a summary, no question.
    said = (message.content for message in reversed(history[:-1]) if message.role == "user" and message.name is None)
    before = next(said, "")
    if before and (len(terms(question)) < _FOLLOW_UP_TERMS or _FOLLOW_UP.search(question)):
        return f"{before[:_QUESTION_CHARACTERS]} {question}"
    return question


def _calls(choice: Choice) -> list[ToolCall]:
    confidence = round(min(max(choice.score, 0.0), 1.0), 4)
    return [_call(choice.spec.name, arguments, i, confidence) for i, arguments in enumerate(choice.reading.calls)]


def _call(name: str, arguments: object, index: int, confidence: float) -> ToolCall:
    written = json.dumps(arguments, ensure_ascii=False)
    return ToolCall(id=f"call_{index + 1}", name=name, arguments=written, confidence=confidence)


def _pieces(text: str) -> Iterator[str]:
    return (match[0] for match in _PIECE.finditer(text))


def _within(text: str, max_tokens: int | None) -> str:
    """As many whole words of the text as the tokens allow."""
    if max_tokens is None or len(text) <= max_tokens * _CHARACTERS_PER_TOKEN:
        return text
    return text[: max_tokens * _CHARACTERS_PER_TOKEN].rpartition(" ")[0]


def _usage(request: ModelRequest, output: str) -> Usage:
    read = sum(len(message.content) for message in request.messages) + sum(len(one.text) for one in request.passages)
    return Usage(input_tokens=-(-read // _CHARACTERS_PER_TOKEN), output_tokens=-(-len(output) // _CHARACTERS_PER_TOKEN))


def _utc_today() -> date:
    return datetime.now(UTC).date()
