"""What is counted for Prometheus, and that no client decides how many series there are."""

from agent.events import CacheHit, CacheMissed, MemoryRecalled, RecalledMemory
from service.metrics import Metrics


def test_what_the_cache_gave_and_what_was_recalled_is_counted_under_names_that_are_known() -> None:
    metrics = Metrics()
    how = {"score": 1.0, "threshold": 1.0, "age_seconds": 1.0}
    for decided_by in ("exact", "near", "near", "concurrent"):
        metrics.event(CacheHit(entry_id="e", question="Why?", decided_by=decided_by, decision=(), **how))  # type: ignore[arg-type]
    for reason in ("unsure", "bypass", "checked", "conversation", "memory", "new", "newer", ""):
        metrics.event(CacheMissed(reason=reason, decision=()))
    memory = RecalledMemory(id="m", version=1, kind="fact", text="Tea.", trust="stated", score=1.0)
    metrics.event(MemoryRecalled(memories=(memory, memory), duration_ms=1.0))
    told = metrics.render().decode()
    lookups = {line for line in told.splitlines() if line.startswith("cairn_cache_lookups_total")}
    counted = {("hit", "exact"): 1, ("hit", "near"): 2, ("hit", "concurrent"): 1, ("miss", "other"): 3}
    counted |= {("miss", reason): 1 for reason in ("unsure", "bypass", "checked", "conversation", "memory")}
    assert lookups == {
        f'cairn_cache_lookups_total{{how="{how}",outcome="{outcome}"}} {float(count)}'
        for (outcome, how), count in counted.items()
    }
    assert "cairn_memories_recalled_total 2.0\n" in told
