"""A model's name, or none, leads to the right model or to a message with the way out."""

from collections.abc import AsyncIterator
from importlib.util import find_spec

import pytest
from pydantic import SecretStr

from models.catalog import ModelSettings, context_tokens, open_model
from models.errors import Authentication, MalformedResponse, ModelError, Permanent, Transient
from models.port import ChatModel
from models.scripted import ScriptedModel
from tests.support.provider import Provider, serve


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with serve() as running:
        yield running


def built_in() -> ChatModel:
    return ScriptedModel([], name="extractive")


async def opened(name: str | None, settings: ModelSettings | None = None) -> tuple[str, bool]:
    model = await open_model(name, settings or ModelSettings(), extractive=built_in)
    await model.aclose()
    return model.info.name, model.info.remote


@pytest.mark.parametrize("name", [None, "", " ", "extractive", " extractive "])
async def test_without_a_key_the_built_in_model_answers(name: str | None) -> None:
    assert await opened(name) == ("extractive", False)


async def test_the_first_configured_provider_is_used() -> None:
    openai = ModelSettings(openai_api_key=SecretStr("k"), anthropic_api_key=SecretStr("k"), openai_model="gpt-x")
    assert await opened(None, openai) == ("openai:gpt-x", True)


async def test_an_empty_key_configures_nothing() -> None:
    assert await opened(None, ModelSettings(openai_api_key=SecretStr(" "))) == ("extractive", False)


@pytest.mark.skipif(find_spec("langchain_anthropic") is not None, reason="the package is installed")
async def test_a_key_whose_package_is_missing_is_a_warning_unless_the_model_was_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A key lying about in the environment must not keep the service from starting."""
    settings = ModelSettings(anthropic_api_key=SecretStr("k"))
    assert await opened(None, settings) == ("extractive", False)
    assert "pip install 'cairn[anthropic]'" in caplog.text
    with pytest.raises(Permanent, match="needs a package"):
        await opened("anthropic:claude-sonnet-4-5", settings)


async def test_a_server_of_ones_own_is_asked_for_its_first_model(provider: Provider) -> None:
    settings = ModelSettings(openai_base_url=provider.url, openai_api_key=SecretStr("local-key"))
    assert await opened(None, settings) == ("openai:first-model", False)
    assert provider.headers[0]["Authorization"] == "Bearer local-key"


@pytest.mark.parametrize(
    ("served", "chosen"),
    [(["nomic-embed-text", "qwen3:8b"], "openai:qwen3:8b"), (["text-embedding-3"], "openai:text-embedding-3")],
)
async def test_a_model_that_only_embeds_is_not_the_first_choice(
    provider: Provider, served: list[str], chosen: str
) -> None:
    provider.served = {"data": [{"id": name} for name in served]}
    assert (await opened(None, ModelSettings(openai_base_url=provider.url)))[0] == chosen


async def test_with_a_name_nothing_is_asked(provider: Provider) -> None:
    assert await opened("openai:org/mine:7b", ModelSettings(openai_base_url=provider.url)) == (
        "openai:org/mine:7b",
        False,
    )
    assert provider.headers == []


@pytest.mark.parametrize(
    ("served", "kind", "said"),
    [({"data": []}, Permanent, "--model openai:NAME"), ({"models": 1}, MalformedResponse, "no list of models")],
)
async def test_a_server_without_models_is_named(
    provider: Provider, served: object, kind: type[ModelError], said: str
) -> None:
    provider.served = served
    with pytest.raises(kind, match=said):
        await opened(None, ModelSettings(openai_base_url=provider.url))


async def test_a_server_that_is_not_there_is_named() -> None:
    async with serve() as gone:
        url = gone.url
    with pytest.raises(Transient, match=f"cannot reach {url}"):
        await opened(None, ModelSettings(openai_base_url=url))


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("gpt-4o", Permanent, "'extractive', 'openai:NAME'"),
        (":x", Permanent, "there is no model ':x'"),
        ("nobody:x", Permanent, "no model nobody:x"),
        ("mistralai:x", Permanent, "pip install 'langchain-mistralai'"),
    ],
)
async def test_a_name_that_leads_nowhere_says_what_would(name: str, kind: type[ModelError], said: str) -> None:
    with pytest.raises(kind, match=said):
        await opened(name)


def test_a_provider_of_langchain_without_its_key_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from models.langchain import init_langchain

    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(Authentication, match="openai:x needs an API key"):
        init_langchain("openai", "x")


@pytest.mark.parametrize(
    ("model", "settings", "tokens"),
    [
        ("gpt-4o-mini", ModelSettings(), 128_000),
        ("unheard-of", ModelSettings(), 8192),
        ("gpt-4o-mini", ModelSettings(context_tokens=4096), 4096),
    ],
)
def test_the_context_window_is_the_tables_unless_configured(model: str, settings: ModelSettings, tokens: int) -> None:
    assert context_tokens(model, settings) == tokens


def test_settings_do_not_show_their_keys() -> None:
    assert "secret" not in repr(
        ModelSettings(openai_api_key=SecretStr("secret"), anthropic_api_key=SecretStr("secret"))
    )
