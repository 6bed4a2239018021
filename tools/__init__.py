"""Typed tools: what a model may call, and how a call is checked, run and reported."""
