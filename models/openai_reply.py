"""What the chunks of a chat completion add up to: text as it comes, tool calls put together, the reason and usage."""

from typing import Any

import orjson

from models.confidence import TokenLogprob, token_logprobs, typical
from models.http_errors import error_for_event, malformed
from models.messages import Finish, FinishReason, ToolCall, Usage
from models.tool_calls import ToolCallAssembler

_REASONS: dict[str, FinishReason] = {"length": "length", "max_tokens": "length", "content_filter": "content_filter"}


class Reply:
    """Takes the data of one stream's events in order (format: OpenAI API reference, ``chat.completion.chunk``).

    Attributes:
        reason: The provider's finish reason, once it was given.
        done: Whether ``[DONE]`` was seen.
        wrote: Whether there was any text.
    """

    def __init__(self, url: str) -> None:
        self.reason: str | None = None
        self.done = False
        self.wrote = False
        self._url = url
        self._usage = Usage()
        self._calls = ToolCallAssembler()
        self._said: list[str] = []
        self._tokens: list[TokenLogprob] = []

    def add(self, data: bytes) -> str:
        """The text that the event adds; empty when it adds something else.

        Raises:
            MalformedResponse: It is no chunk of a chat completion.
            ModelError: The provider reports an error in the stream.
        """
        if self.done or data == b"[DONE]":
            self.done = True
            return ""
        try:
            event = orjson.loads(data)
            choices = event.get("choices")
            if choices:
                choice = choices[0]
                delta = choice.get("delta")
                if delta and "tool_calls" not in delta and choice.get("finish_reason") is None:
                    if choice.get("logprobs") is not None:
                        self._tokens += token_logprobs(choice["logprobs"])
                    return self._text(delta)
            return self._add_other(event)
        except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
            raise malformed(self._url, "what is no chunk of a chat completion", data) from error

    def calls(self) -> list[ToolCall]:
        return self._calls.complete()

    def finish(self) -> Finish:
        # Several providers say "stop" after tool calls.
        reason: FinishReason = "tool_calls" if self._calls else _REASONS.get(self.reason or "", "stop")
        confidence = typical("".join(self._said), self._tokens) if self._tokens else None
        return Finish(reason=reason, usage=self._usage, confidence=confidence)

    def _text(self, delta: dict[str, Any]) -> str:
        text = delta.get("content") or delta.get("refusal") or ""
        if not isinstance(text, str):
            raise TypeError(text)
        if text:
            self.wrote = True
            self._said.append(text)
        return text

    def _add_other(self, event: dict[str, Any]) -> str:
        error = event if event.get("object") == "error" else event.get("error")
        if error:
            raise error_for_event(error, self._url)
        usage = event.get("usage")
        if usage:
            self._usage = Usage(
                input_tokens=int(usage.get("prompt_tokens") or 0),
                output_tokens=int(usage.get("completion_tokens") or 0),
            )
        choices = event.get("choices")
        if not choices:
            return ""
        self.reason = choices[0].get("finish_reason") or self.reason
        delta = choices[0].get("delta") or {}
        logprobs = token_logprobs(choices[0].get("logprobs"))
        self._tokens += logprobs
        for call in delta.get("tool_calls") or ():
            function = call.get("function") or {}
            self._calls.add(
                function.get("arguments"),
                index=call.get("index"),
                identity=call.get("id"),
                name=function.get("name"),
                logprobs=logprobs,
            )
        return self._text(delta)
