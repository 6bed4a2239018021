"""What a run has done and is about to do, in the database."""
