"""Guardrails over what comes in and what goes out."""
