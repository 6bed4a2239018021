"""Pseudo-relevance feedback: the best passages show what the question is about.

The middle of their vectors stands for the topic (Rocchio 1971), and what was found is judged again by how near it lies.
Nothing further is searched for: on questions with many relevant passages that gained about as much as a second search
with a moved question or with the best passages' words (RM3), and it costs no round trip.
"""

from retrieval.fusion import Leg, add, min_max, ranked

BEST = 3
"""Passages that are taken for relevant; their scores say how much each counts."""

WEIGHT = 0.4
"""What nearness to the topic counts, against the first search: 0.2 to 0.5 all rank related passages higher and cost
hardly an answer."""


def topic_of(first: Leg) -> dict[str, float]:
    """The best passages, whose weighted middle is the topic, with what each counts."""
    return {key: first[key] for key in ranked(first)[:BEST]}


def toward_topic(first: Leg, near: Leg, trust: float = 1.0) -> dict[str, float]:
    """The scores of the first search, with nearness to the topic of the best passages added.

    Args:
        first: Fused scores, not empty; those of the best passages are positive.
        near: How near each of the passages lies to the topic.
        trust: From 0 to 1: how well the embedding model tells these passages apart.

    Returns:
        A score for each of the same passages; the first search's best stays the best.
    """
    order = ranked(first)
    weight = trust * WEIGHT
    # In order, so that the best stays ahead of an equal score.
    legs = ({key: first[key] for key in order}, min_max({key: near[key] for key in order}))
    total = add(legs, (1 - weight, weight))
    return total | {order[0]: max(total.values())}
