"""Short-term memory: sessions and their messages."""
