"""Policy and secret as an operator sets them."""

from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from agent.approvals.signing import SecretError
from service.services import open_signer
from service.settings import RetrievalSettings, Settings
from tools.policy import Rule

SECRET = SecretStr("ab" * 32)
SHARED = {"database_url": "postgresql://h/d", "retrieval": RetrievalSettings(qdrant_url="http://q")}


def test_rules_are_read_from_the_file_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cairn.toml").write_text(
        '[[policy]]\ntool = "pay_*"\nargument = "amount"\nabove = 0.1\nautonomy = "confirm"\napprovers = ["boss"]\n'
        '[[policy]]\nargument = "currency"\nequals = "5"\nautonomy = "auto"\n'
    )
    assert Settings().policy == (
        Rule(tool="pay_*", argument="amount", above=Decimal("0.1"), autonomy="confirm", approvers=("boss",)),
        Rule(argument="currency", equals="5", autonomy="auto"),
    )


def test_rules_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAIRN_POLICY", '[{"tool": "pay", "argument": "test", "equals": true, "autonomy": "auto"}]')
    assert Settings().policy == (Rule(tool="pay", argument="test", equals=True, autonomy="auto"),)


def test_a_rule_that_cannot_be_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAIRN_POLICY", '[{"tool": "pay", "autonomy": "always"}]')
    with pytest.raises(ValidationError, match="policy"):
        Settings()


def test_another_policy_is_another_version_of_the_configuration(tmp_path: Path) -> None:
    plain = Settings(data_dir=tmp_path)
    strict = Settings(data_dir=tmp_path, policy=(Rule(autonomy="confirm"),))
    assert plain.config_version() != strict.config_version()


def test_the_secret_that_was_set_signs_and_none_is_made(tmp_path: Path) -> None:
    first = open_signer(Settings(data_dir=tmp_path, secret=SECRET))
    assert list(tmp_path.iterdir()) == []
    assert open_signer(Settings(data_dir=tmp_path / "elsewhere", secret=SECRET)).sign("l", 1) == first.sign("l", 1)


def test_without_one_the_data_folder_s_own_signs(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    assert open_signer(settings).sign("l", 1) == open_signer(settings).sign("l", 1)
    assert (tmp_path / "secret.key").exists()


def test_services_that_share_a_database_must_be_given_one(tmp_path: Path) -> None:
    with pytest.raises(SecretError, match="CAIRN_SECRET"):
        open_signer(Settings.model_validate({"data_dir": tmp_path, **SHARED}))
    assert list(tmp_path.iterdir()) == []


def test_a_secret_is_shown_in_no_error_and_no_representation(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, secret=SecretStr("hunter2"))
    with pytest.raises(SecretError) as raised:
        open_signer(settings)
    assert "hunter2" not in f"{raised.value} {settings!r}"
