"""Counting a model's tokens, untruncated."""

from tokenizers import Tokenizer


class TokenCounter:
    """The tokenizer of a model, for counting and cutting: it never truncates or pads."""

    def __init__(self, definition: str) -> None:
        """``definition`` is the text of a ``tokenizer.json``."""
        self._tokenizer = Tokenizer.from_str(definition)
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def count(self, text: str) -> int:
        """Tokens of the text, special tokens included."""
        return len(self._tokenizer.encode(encodable(text)).ids)

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Code-point span of each token, special tokens left out."""
        return list(self._tokenizer.encode(encodable(text), add_special_tokens=False).offsets)


def encodable(text: str) -> str:
    """The text with each lone surrogate, which no tokenizer takes, replaced by a question mark; same length."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="replace").decode()
    return text
