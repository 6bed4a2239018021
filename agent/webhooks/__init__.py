"""Webhooks: telling an operator's endpoints what became of runs, once it has and not before."""
