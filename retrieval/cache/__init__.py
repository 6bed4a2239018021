"""The semantic cache: when an answer that was given to one question may be given to another."""
