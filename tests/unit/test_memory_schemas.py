"""The schemas of memory's kinds come from the operator's own modules; what is wrong with them is said at the start."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from memory.drafting import Schemas
from memory.errors import MemoryRefused
from memory.extraction import Extractor
from memory.index import MemoryIndex
from memory.learning import remember
from memory.memory import Memory
from memory.records import Draft, Kind, Subject
from records.database import Database
from records.ids import new_id
from records.principal import Principal
from retrieval.vectors.edge import EdgeStore
from retrieval.vectors.tenanted import TenantedStore
from service.memory_schemas import SchemaLoadingError, load_schemas
from service.settings import Settings
from tests.support.embedder import HashEmbedder

ALICE = Principal(tenant="acme", id="alice")
SHAPES = """
from pydantic import BaseModel

class Episode(BaseModel):
    place: str
    guests: int = 0

def Function(): ...
"""


def shapes(folder: Path) -> Schemas:
    (folder / "shapes.py").write_text(SHAPES)
    return load_schemas({"episode": "shapes:Episode"}, folder)


async def test_a_value_is_what_the_schema_of_its_kind_makes_of_it(tmp_path: Path) -> None:
    database = await Database.open(f"sqlite:///{tmp_path}/cairn.db")
    store = TenantedStore(await EdgeStore.open(tmp_path / "vectors"))
    index = MemoryIndex(database, store, HashEmbedder(dimension=64))
    memory = Memory.over(database, index, schemas={**shapes(tmp_path), "profile": shapes(tmp_path)["episode"]})

    def dinner(**value: object) -> Draft:
        return Draft(subject=Subject("user", "alice"), kind="episode", text="Dinner.", value=value)

    written = await memory.propose(ALICE, dinner(place="Rome", more=1))
    assert written.version.content.value == {"place": "Rome", "guests": 0}
    for wrong in (dinner(), dinner(place=["Rome"]), dinner(place="Rome", guests="many")):
        with pytest.raises(MemoryRefused, match="none of a episode"):
            await memory.propose(ALICE, wrong)
    # Of a kind that has a schema nothing is learnt that does not fit; the rest is.
    said = "My name is Ann and I like tea."
    learnt = await remember(memory, Extractor(), ALICE, message=said, answer="", run_id=new_id(), session_id=new_id())
    assert [each.version.content.text for each in learnt] == ["I like tea."]
    await store.aclose()
    await database.aclose()


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("shapes:Missing", "AttributeError"),
        ("shapes", "AttributeError"),
        ("nowhere:Episode", "ModuleNotFoundError"),
        ("shapes:Function", "is no pydantic model"),
        (":", "memory.schemas.fact"),
    ],
)
def test_a_schema_that_is_not_there_is_said(tmp_path: Path, reference: str, message: str) -> None:
    shapes(tmp_path)
    kind: Kind = "fact"
    with pytest.raises(SchemaLoadingError, match=message):
        load_schemas({kind: reference}, tmp_path)


def test_settings_name_kinds_and_slots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    toml = '[memory]\nlearn = "model"\n[memory.schemas]\nepisode = "shapes:Episode"\n'
    (tmp_path / "cairn.toml").write_text(toml + '[memory.authoritative.get_customer]\ncity = "address.city"\n')
    memory = Settings().memory
    assert (memory.learn, dict(memory.schemas)) == ("model", {"episode": "shapes:Episode"})
    assert memory.authoritative["get_customer"] == {"city": "address.city"}
    (tmp_path / "cairn.toml").write_text('[memory.schemas]\nopinion = "shapes:Episode"\n')
    with pytest.raises(ValidationError, match="opinion"):
        Settings()
