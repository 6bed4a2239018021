"""Examples that show Cairn at work."""
