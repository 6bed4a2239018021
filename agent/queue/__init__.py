"""Whose turn it is: who holds a run, what waits, and the order in a session."""
