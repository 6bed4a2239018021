"""The files for containers name settings, commands, routes and files that exist, and hold no secret."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import typer
import yaml
from pydantic import TypeAdapter

from service.cli import app
from service.commands.common import require_stores
from service.routes import health
from service.services import open_signer
from service.settings import ProviderSettings, Settings

ROOT = Path(__file__).parents[2]
FILES = ("docker-compose.yml", "deploy/single.yml")
GIVEN = {"CAIRN_SECRET": "5e" * 32, "POSTGRES_PASSWORD": "pw", "SITE_ADDRESS": "localhost"}
CADDYFILE = (ROOT / "deploy" / "Caddyfile").read_text()
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()
_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?:(?P<sign>:[-?])(?P<rest>[^}]*))?\}")


def compose(name: str, given: Mapping[str, str] = GIVEN) -> dict[str, Any]:
    """The file as Docker reads it: variables filled in, and merged.

    Raises:
        KeyError: A variable is not set, and has no default; with the file's own message.
    """

    def filled(found: re.Match[str]) -> str:
        value = given.get(found["name"], "")
        if not value and found["sign"] != ":-":
            raise KeyError(f"{found['name']}: {found['rest']}")
        return value or found["rest"]

    read: dict[str, Any] = resolved(yaml.safe_load((ROOT / name).read_text()), filled)
    return read


def resolved(node: Any, filled: Any) -> Any:
    """The same with variables filled in. Only in values: comments may name them, too."""
    if isinstance(node, dict):
        return {key: resolved(value, filled) for key, value in node.items()}
    if isinstance(node, list):
        return [resolved(value, filled) for value in node]
    return _VARIABLE.sub(filled, node) if isinstance(node, str) else node


def ours(name: str) -> dict[str, dict[str, Any]]:
    """The containers that run Cairn."""
    return {key: service for key, service in compose(name)["services"].items() if "build" in service}


def settings_of(service: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch, folder: Path) -> Settings:
    """The settings that a container's environment makes."""
    monkeypatch.chdir(folder)
    for name, value in service["environment"].items():
        monkeypatch.setenv(name, value)
    return Settings()


@pytest.mark.parametrize("name", FILES)
def test_every_variable_is_a_setting_that_takes_its_value(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    providers = {str(field.validation_alias) for field in ProviderSettings.model_fields.values()}
    for service in ours(name).values():
        settings = settings_of(service, monkeypatch, tmp_path)
        named = [variable for variable in service["environment"] if variable.startswith("CAIRN_")]
        assert named
        for variable in named:
            found: Any = settings
            for part in variable.removeprefix("CAIRN_").lower().split("__"):
                found = getattr(found, part)
            assert TypeAdapter(type(found)).validate_python(found) == found
            assert found is not None
        assert set(service["environment"]) - set(named) <= providers


@pytest.mark.parametrize("name", FILES)
def test_every_command_is_one_that_there_is_with_options_that_it_has(name: str) -> None:
    group = typer.main.get_command(app)
    for service in ours(name).values():
        command, *options = service["command"]
        found = group.get_command(typer.Context(group), command)  # type: ignore[attr-defined]
        assert found is not None
        found.make_context(command, list(options)).close()


@pytest.mark.parametrize("name", FILES)
def test_the_files_that_are_mounted_and_built_from_are_there(name: str) -> None:
    file, folder = compose(name), (ROOT / name).parent
    for service in file["services"].values():
        mounted = [volume.split(":")[0] for volume in service.get("volumes", [])]
        assert all((folder / path).exists() for path in mounted if path.startswith("."))
        assert {path for path in mounted if not path.startswith(".")} <= set(file["volumes"])
        assert set(service.get("depends_on", ())) <= set(file["services"])
    for service in ours(name).values():
        context = (folder / service["build"]["context"]).resolve()
        assert context == ROOT
        assert (context / service["build"]["dockerfile"]).is_file()


def test_the_image_is_built_from_a_lock_that_holds_what_production_needs() -> None:
    lock = re.search(r"^COPY (locks/\S+)", DOCKERFILE, re.MULTILINE)
    assert lock is not None
    locked = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / lock[1]).read_text(), re.MULTILINE))
    assert {"asyncpg", "redis", "qdrant-client", "uvicorn", "uvloop"} <= locked
    assert not locked & {"torch", "pytest"}


@pytest.mark.parametrize("name", sorted(GIVEN))
def test_without_a_variable_that_it_needs_nothing_starts_and_it_is_said_how_to_set_it(name: str) -> None:
    left = {key: value for key, value in GIVEN.items() if key != name}
    with pytest.raises(KeyError, match=f"{name}: set it in .env to"):
        compose("docker-compose.yml", left)


@pytest.mark.parametrize("name", FILES)
def test_no_secret_is_in_the_file(name: str) -> None:
    for service in yaml.safe_load((ROOT / name).read_text())["services"].values():
        for variable, value in service.get("environment", {}).items():
            if re.search("SECRET|PASSWORD|KEY", variable):
                assert re.fullmatch(rf"\$\{{{variable}(:-|:\?[^}}]+)\}}", value)
            if variable.endswith("_URL"):
                assert urlsplit(_VARIABLE.sub("", value)).password in {None, ""}


def test_services_and_worker_share_their_stores_and_one_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    services = compose("docker-compose.yml")["services"]
    signed = set()
    for service in ours("docker-compose.yml").values():
        settings = settings_of(service, monkeypatch, tmp_path)
        require_stores(settings, shared=True)
        signed.add(open_signer(settings).sign("l", 1))
        urls = (settings.database_url, service["environment"]["CAIRN_REDIS_URL"], settings.retrieval.qdrant_url)
        for store in (services[urlsplit(str(url)).hostname] for url in urls):
            assert set(store["networks"]) & set(service["networks"])
            assert any(not volume.startswith(".") for volume in store["volumes"])
    assert len(signed) == 1
    assert services["redis"]["command"][1:3] == ["--appendonly", "yes"]
    account = services["postgres"]["environment"]
    assert urlsplit(str(settings.database_url)).password == account["POSTGRES_PASSWORD"]
    assert urlsplit(str(settings.database_url)).username == account["POSTGRES_USER"]
    assert urlsplit(str(settings.database_url)).path == f"/{account['POSTGRES_DB']}"


def test_each_process_has_a_data_folder_of_its_own() -> None:
    """One process owns a data folder: a shared one would keep the second from starting."""
    data_dir = re.search(r"CAIRN_DATA_DIR=(\S+)", DOCKERFILE)
    assert data_dir is not None
    for service in ours("docker-compose.yml").values():
        assert "CAIRN_DATA_DIR" not in service["environment"]
        assert data_dir[1] not in [volume.split(":")[1] for volume in service["volumes"]]
    assert f"VOLUME {data_dir[1]}\n" in DOCKERFILE


def test_only_the_proxy_is_reached_from_outside() -> None:
    file = compose("docker-compose.yml")
    assert [name for name, service in file["services"].items() if "ports" in service] == ["proxy"]
    assert file["networks"]["stores"]["internal"] is True
    assert "stores" not in file["services"]["proxy"]["networks"]
    for store in ("postgres", "redis", "qdrant"):
        assert file["services"][store]["networks"] == ["stores"]


def test_the_proxy_asks_every_service_and_no_other() -> None:
    upstreams = re.search(r"^\treverse_proxy ([^{]+) \{$", CADDYFILE, re.MULTILINE)
    assert upstreams is not None
    serving = {
        f"{name}:{service['command'][service['command'].index('--port') + 1]}"
        for name, service in ours("docker-compose.yml").items()
        if service["command"][0] == "serve"
    }
    assert set(upstreams[1].split()) == serving
    assert len(serving) == 2
    proxy = compose("docker-compose.yml")["services"]["proxy"]
    assert "./deploy/Caddyfile:/etc/caddy/Caddyfile:ro" in proxy["volumes"]
    assert set(re.findall(r"\{\$(\w+)", CADDYFILE)) == set(proxy["environment"])
    assert CADDYFILE.count("{") == CADDYFILE.count("}")


def test_the_proxy_neither_holds_back_nor_cuts_a_stream_and_repeats_no_question() -> None:
    said = [line.strip().split()[0] for line in CADDYFILE.splitlines() if line.strip() and line.strip()[0] not in "#}{"]
    assert set(said) == {
        *("reverse_proxy", "lb_policy", "lb_try_duration", "transport", "dial_timeout"),
        *("health_uri", "health_interval", "health_timeout", "fail_duration"),
    }


def test_health_is_asked_where_it_is_served() -> None:
    routes = {route.path for route in health.router.routes}  # type: ignore[attr-defined]
    asked = re.search(r"health_uri (\S+)", CADDYFILE)
    checked = re.search(r"http://127\.0\.0\.1:(\d+)(/\w+)", DOCKERFILE)
    assert asked is not None and checked is not None
    assert {asked[1], checked[2]} <= routes
    for name in FILES:
        for service in ours(name).values():
            if service["command"][0] == "serve":
                assert service["command"][-2:] == ["--port", checked[1]]
            else:
                assert service["healthcheck"] == {"disable": True}


def test_a_call_may_come_to_its_end_before_a_container_is_killed() -> None:
    from tools.tool import DEFAULT_TIMEOUT

    for service in ours("docker-compose.yml").values():
        assert int(service["stop_grace_period"].removesuffix("s")) > DEFAULT_TIMEOUT + 10
