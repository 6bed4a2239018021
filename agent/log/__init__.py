"""The event log: what a run tells, kept before anybody sees it, followed from anywhere."""
