"""Taking out for real what was said and done: a session, or what was forgotten."""
