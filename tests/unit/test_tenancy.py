"""Which statements are let through, and who makes use of the reasons to do without a tenant."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import agent.journal.postgres
import agent.journal.sqlite
from records.clauses import Unconfined, confine
from records.schema import metadata
from records.tenancy import Crossing, owners

ROOT = Path(__file__).parents[2]
PACKAGES = ("agent", "cairn", "ingest", "memory", "models", "rails", "records", "retrieval", "service", "tools")
OWNERS = {"runs": "tenant", "steps": "tenant", "documents": "tenant", "collections": "tenant", "event_logs": "run_id"}

CONFINED = """
SELECT 1
SELECT vector FROM embeddings WHERE model = ?
SELECT runs.id FROM runs WHERE runs.tenant = ? AND runs.id = ?
SELECT id FROM runs WHERE tenant = $1::VARCHAR AND id = $2
SELECT id FROM runs WHERE (id = ? OR id = ?) AND (tenant = ?)
SELECT id FROM runs WHERE ((tenant = ? AND id = ?))
SELECT id FROM runs WHERE id BETWEEN ? AND ? AND tenant = ?
SELECT id FROM "runs" r WHERE ? = r.tenant ORDER BY id LIMIT ?
SELECT id FROM runs WHERE id IN (__[POSTCOMPILE_id_1]) AND tenant = ?
SELECT id FROM runs WHERE tenant = ? AND id = (SELECT max(run_id) FROM steps WHERE steps.tenant = runs.tenant)
SELECT id FROM runs WHERE tenant = ? UNION ALL SELECT run_id FROM steps WHERE tenant = ?
SELECT s.seq FROM steps AS s WHERE s.tenant = ? AND NOT EXISTS (SELECT 1 FROM runs WHERE runs.tenant = s.tenant)
SELECT documents.id FROM documents JOIN collections ON collections.tenant = documents.tenant WHERE documents.tenant = ?
SELECT documents.id FROM documents LEFT JOIN collections ON true WHERE documents.tenant = ? AND collections.tenant = ?
WITH some AS (SELECT id FROM runs WHERE tenant = ?) SELECT id FROM some
UPDATE runs SET status = ? WHERE runs.tenant = ? RETURNING runs.id
UPDATE steps SET status = ? FROM held WHERE steps.run_id = held.id AND steps.tenant = $1::text
DELETE FROM steps USING runs WHERE steps.tenant = runs.tenant AND runs.tenant = $1
INSERT INTO runs (id, tenant) VALUES (?, ?), (?, ?) RETURNING id
INSERT INTO runs (id, tenant) SELECT $1, $2 WHERE $3::text IS NOT NULL
INSERT INTO documents (id, tenant) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET title = ? WHERE documents.tenant = ?
INSERT INTO steps (id, tenant) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET seq = ? WHERE steps.tenant = excluded.tenant
INSERT INTO collections (tenant, name) VALUES (?, ?) ON CONFLICT (tenant, name) DO UPDATE SET language = ?
INSERT INTO collections (tenant, name) VALUES (?, ?) ON CONFLICT DO NOTHING
SELECT events FROM event_logs WHERE event_logs.run_id = ?
PRAGMA main.table_info("runs")
"""

LOOSE = """
SELECT id FROM runs
SELECT id FROM runs WHERE id = ?
SELECT id FROM RUNS WHERE id = ?
SELECT id FROM "Runs" WHERE id = ?
SELECT id FROM 'runs'
SELECT id FROM [runs]
SELECT id FROM public.runs
SELECT id FROM runs WHERE tenant = ? OR id = ?
SELECT id FROM runs WHERE (tenant = ? OR id = ?) AND id = ?
SELECT id FROM runs WHERE NOT (tenant = ?)
SELECT id FROM runs WHERE NOT tenant = ?
SELECT id FROM runs WHERE tenant <> ?
SELECT id FROM runs WHERE tenant IN (?)
SELECT id FROM runs WHERE tenant LIKE ?
SELECT id FROM runs WHERE tenant IS NULL
SELECT id FROM runs WHERE tenant = ? AND "end" = ? OR id = ?
SELECT id FROM runs WHERE tenant = ? AND "case" = ? OR id = ?
SELECT id FROM runs WHERE tenant = ? AND "between" = ? OR id = ?
SELECT id FROM runs WHERE id = ? AND "or" = ?
SELECT DISTINCT ON (runs.tenant = $1) id FROM runs
SELECT DISTINCT ON (runs.tenant = $1) FROM runs
SELECT id FROM runs WHERE tenant = 'acme'
SELECT id FROM runs WHERE tenant = tenant
SELECT id FROM runs WHERE tenant = ? || tenant
SELECT id FROM runs WHERE lower(tenant) = ?
SELECT id FROM runs WHERE CASE WHEN a AND tenant = ? AND b THEN 1 ELSE 1 END
SELECT id FROM runs WHERE id BETWEEN ? AND tenant = ?
SELECT id FROM runs -- WHERE tenant = ?
SELECT id FROM runs /* WHERE tenant = ? */
SELECT id FROM runs HAVING tenant = ?
SELECT id FROM runs ORDER BY tenant = ?
SELECT tenant = ? FROM runs
SELECT id FROM runs r WHERE runs.tenant = ?
SELECT id FROM runs, held WHERE tenant = ?
SELECT id FROM runs, steps WHERE runs.tenant = ?
SELECT id FROM runs JOIN steps ON steps.run_id = runs.id WHERE runs.tenant = ?
SELECT id FROM runs LEFT JOIN steps ON steps.tenant = runs.tenant AND runs.tenant = ?
SELECT id FROM runs WHERE tenant = ? UNION SELECT run_id FROM steps
SELECT (SELECT count(*) FROM steps) FROM runs WHERE tenant = ?
SELECT id FROM embeddings WHERE id IN (SELECT run_id FROM steps)
SELECT s.seq FROM steps AS s WHERE s.tenant = ? AND EXISTS (SELECT 1 FROM runs WHERE runs.id = s.run_id)
SELECT id FROM runs WHERE tenant = ? AND id IN (SELECT run_id FROM steps, held AS runs WHERE steps.tenant = runs.tenant)
WITH some AS (SELECT id FROM runs) SELECT id FROM some
WITH some AS (DELETE FROM runs RETURNING id) SELECT id FROM some
UPDATE runs SET status = ?
UPDATE runs SET status = ? FROM held WHERE tenant = ?
UPDATE runs SET tenant = ? WHERE tenant = ?
UPDATE runs SET (status, tenant) = (?, ?) WHERE tenant = ?
UPDATE runs SET status = id IS DISTINCT FROM ?, tenant = ? WHERE tenant = ?
DELETE FROM runs
INSERT INTO runs (id) VALUES (?)
INSERT INTO runs VALUES (?, ?)
INSERT INTO public.runs (id, tenant) VALUES (?, ?)
INSERT INTO runs (id, tenant) VALUES (?, 'acme')
INSERT INTO runs (id, tenant) VALUES (?, ?), (?, 'acme')
INSERT INTO runs (id, tenant) DEFAULT VALUES
INSERT INTO runs (id, tenant) SELECT id, tenant FROM held
INSERT INTO runs (id, tenant) SELECT ?, ? UNION ALL SELECT id, tenant FROM held
INSERT INTO runs (id, tenant, title) SELECT held.*, ? FROM held
INSERT INTO runs (id, tenant) VALUES (?, ?, ?)
INSERT INTO runs (id, tenant) (SELECT ?, ?)
INSERT INTO embeddings (model) SELECT id FROM runs
INSERT INTO embeddings (model) VALUES ((SELECT id FROM runs))
INSERT OR REPLACE INTO runs (id, tenant) VALUES (?, ?)
REPLACE INTO runs (id, tenant) VALUES (?, ?)
INSERT INTO documents (id, tenant) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET title = ?
INSERT INTO documents (id, tenant) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET tenant = ? WHERE documents.tenant = ?
INSERT INTO documents (id, tenant) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET title = ? WHERE id = ? OR tenant = ?
TRUNCATE runs
COPY runs TO STDOUT
LOCK TABLE runs IN SHARE MODE
ALTER TABLE runs RENAME TO gone
CREATE TABLE copied AS SELECT * FROM runs
SELECT id FROM runs WHERE tenant = ?; DELETE FROM runs
SELECT id FROM runs WHERE tenant = ? AND name = E'\\' OR 1 = 1
SELECT id FROM runs WHERE (tenant = ?
SELECT events FROM event_logs WHERE tenant = ?
"""

SHARED = {"embeddings"}
"""Tables whose rows are nobody's: what a text's vector is does not depend on whose the text is."""

CROSSINGS = {
    "SCHEMA": {"records/database.py: _create", "records/migrations/env.py"},
    "IDENTITY": {"records/keys.py: find", "records/keys.py: any"},
    "CLAIMS": {
        "agent/approvals/store.py: of_run",
        "agent/approvals/store.py: waits",
        "agent/queue/claims.py: asked_to_cancel",
        "agent/queue/claims.py: keep",
        "agent/queue/claims.py: orphans",
        "agent/queue/claims.py: take",
        "agent/queue/claims.py: untold",
        "agent/queue/queue.py: _take",
        "agent/queue/queue.py: depths",
        "agent/queue/queue.py: put_back",
        "agent/queue/queue.py: restore",
        "agent/queue/queue.py: states",
        "agent/journal/record.py: unsealed",
        "agent/webhooks/deliveries.py: claim",
    },
    "UPKEEP": {
        "agent/approvals/store.py: expire",
        "agent/erasing/sessions.py: expire",
        "agent/erasing/sessions.py: tend",
        "agent/idempotency.py: purge",
        "agent/webhooks/deliveries.py: backlog",
        "agent/webhooks/deliveries.py: purge",
        "agent/webhooks/reminders.py: remind",
        "memory/erasing.py: tend",
        "memory/expiry.py: _expired",
        "retrieval/cache/upkeep.py: expire",
    },
    "INDEX": {
        "memory/index.py: tend",
        "retrieval/cache/index.py: _behind",
        "retrieval/outbox.py: _due",
        "retrieval/outbox.py: serialize",
    },
    "OPERATOR": {
        "agent/approvals/autonomy.py: report",
        "agent/approvals/switches.py: all",
        "agent/webhooks/deliveries.py: list",
        "agent/webhooks/deliveries.py: retry",
        "agent/webhooks/deliveries.py: turn_on",
        "records/keys.py: list",
    },
}
"""Who crosses tenants, and for which reason. Whoever adds a line here says in review why no tenant can be named."""


def statements(listed: str) -> list[str]:
    return [line for line in listed.splitlines() if line]


@pytest.mark.parametrize("sql", statements(CONFINED))
def test_a_statement_that_names_its_tenant_is_let_through(sql: str) -> None:
    confine(sql, OWNERS)


@pytest.mark.parametrize("sql", statements(LOOSE))
def test_a_statement_that_could_reach_other_tenants_rows_is_refused(sql: str) -> None:
    with pytest.raises(Unconfined):
        confine(sql, OWNERS)


@pytest.mark.parametrize("sql", [sql for sql in statements(CONFINED) if "tenant" in sql and "ON CONFLICT" not in sql])
def test_each_condition_is_needed(sql: str) -> None:
    """None of the statements is let through without the last thing that it says of a tenant."""
    place = sql.rindex("tenant")
    with pytest.raises(Unconfined):
        confine(sql[:place] + "title" + sql[place + len("tenant") :], OWNERS)


def test_what_is_written_straight_to_the_driver_names_its_tenant() -> None:
    known = owners(metadata)
    raw = [
        text
        for module in (agent.journal.postgres, agent.journal.sqlite)
        for name, text in vars(module).items()
        # With a brace it is a part of others.
        if name.startswith("_") and name.isupper() and isinstance(text, str) and "{" not in text
    ]
    assert len(raw) >= 12
    for text in raw:
        confine(text, known)


def test_every_table_belongs_to_tenants_or_to_nobody() -> None:
    assert metadata.tables.keys() - owners(metadata).keys() == SHARED
    assert owners(metadata)["event_logs"] == "run_id"
    assert {owner for table, owner in owners(metadata).items() if table != "event_logs"} == {"tenant"}


def test_no_column_is_called_as_a_table_is() -> None:
    """Or a column would be read as a table, and refused."""
    assert not {column.name for table in metadata.tables.values() for column in table.c} & metadata.tables.keys()


def test_who_crosses_tenants_is_known() -> None:
    assert {name: set(used) for name, used in _crossings().items()} == CROSSINGS
    assert {why.name for why in Crossing} == CROSSINGS.keys()


def test_every_reason_is_told() -> None:
    told = (ROOT / "docs" / "tenants.md").read_text(encoding="utf-8")
    assert [why.value for why in Crossing if f"| `{why.value}` |" not in told] == []


@pytest.mark.parametrize(
    "way",
    [
        "create_async_engine",
        "create_engine",
        "get_raw_connection",
        "raw_connection",
        "driver_connection",
        "asyncpg",
        "aiosqlite",
        "sqlite3",
    ],
)
def test_there_is_no_other_way_to_the_database(way: str) -> None:
    """Each is used in ``records`` alone, where what goes through it is checked."""
    users = {str(path.relative_to(ROOT)) for path in _sources() if way in _names(path)}
    assert {user for user in users if not user.startswith("records/")} == set()


def _sources() -> Iterator[Path]:
    return (path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py")))


def _names(path: Path) -> set[str]:
    """The names that the code of a file uses."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Name):
            names.add(node.id)
        elif isinstance(node, ast.Attribute):
            names.add(node.attr)
        elif isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {(node.module or "").partition(".")[0], *(alias.name for alias in node.names)}
    return names


def _crossings() -> dict[str, set[str]]:
    """For each reason the functions that name it, and the statements that are put together once."""
    found: dict[str, set[str]] = {}
    for path in _sources():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
        places: list[tuple[str, ast.stmt]] = [(node.name, node) for node in functions]
        places += [(ast.unparse(node.targets[0]), node) for node in tree.body if isinstance(node, ast.Assign)]
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Crossing":
                within = [name for name, each in places if each.lineno <= node.lineno <= (each.end_lineno or 0)]
                place = str(path.relative_to(ROOT))
                where = place if "migrations" in place else f"{place}: {within[-1]}"
                found.setdefault(node.attr, set()).add(where)
    return found
