"""The built-in model: extracts answers, picks tools by their examples, and says plainly what it is."""

from models.extractive.model import ExtractiveModel

__all__ = ["ExtractiveModel"]
