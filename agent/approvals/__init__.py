"""What a run may not do by itself: judged, asked of a person, decided, signed."""
