"""Tidewell Audio: an invented shop with a handbook, a back end and tools over it."""
