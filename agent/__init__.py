"""The loop: state in, next action out; runs, their events and their journal."""
