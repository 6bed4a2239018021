"""How many tokens a text will be, without asking a provider."""

from models.messages import Message

_BYTES_PER_TOKEN = 3
_PER_MESSAGE = 6


def estimate_tokens(message: Message | str) -> int:
    """An estimate that errs upwards: English is about four bytes a token, most other scripts about three."""
    if isinstance(message, str):
        return len(message.encode(errors="replace")) // _BYTES_PER_TOKEN + 1
    calls = sum(estimate_tokens(call.arguments) + estimate_tokens(call.name) for call in message.tool_calls)
    return estimate_tokens(message.content) + calls + _PER_MESSAGE
