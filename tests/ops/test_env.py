from pathlib import Path

import pytest

from gtm import env


class TestDatabase:
    def test_reads_every_part_of_an_address(self) -> None:
        settings = env.database("postgresql://us%20er:p%40ss@db.example:5433/shop?sslmode=require")
        assert settings["NAME"] == "shop"
        assert (settings["USER"], settings["PASSWORD"]) == ("us er", "p@ss")
        assert (settings["HOST"], settings["PORT"]) == ("db.example", "5433")
        assert settings["OPTIONS"] == {"connect_timeout": "5", "sslmode": "require"}

    def test_takes_the_folder_of_a_socket(self) -> None:
        assert env.database("postgresql://postgres@/tandem?host=/run/a%20b")["HOST"] == "/run/a b"

    @pytest.mark.parametrize("url", ["mysql://a@b/c", "nonsense", "postgresql://a@b:port/c", "postgresql://[::1/c"])
    def test_refuses_what_is_no_address_of_postgresql(self, url: str) -> None:
        with pytest.raises(env.BadSetting, match=r"^DATABASE_URL .*\.$"):
            env.database(url)


class TestReaders:
    def test_take_a_secret_from_a_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "key").write_text("from a file\n")
        monkeypatch.setenv("SECRET_KEY_FILE", str(tmp_path / "key"))
        assert env.text("SECRET_KEY") == "from a file"

    @pytest.mark.parametrize(
        ("value", "answer"), [("", True), ("1", True), ("Yes", True), ("0", False), ("off", False)]
    )
    def test_know_a_flag(self, value: str, answer: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DEMO", value)
        assert env.flag("DEMO", default=True) is answer

    def test_refuse_nonsense_in_a_sentence(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DEMO", "perhaps")
        monkeypatch.setenv("PORT", "http")
        with pytest.raises(env.BadSetting, match="DEMO must be 1 or 0, not 'perhaps'"):
            env.flag("DEMO", default=True)
        with pytest.raises(env.BadSetting, match="PORT must be a whole number, not 'http'"):
            env.number("PORT", 8000)

    def test_make_a_secret_key_once_and_for_the_owner_alone(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("SECRET_KEY", raising=False)
        key = env.secret_key(tmp_path)
        assert len(key) > 50
        assert env.secret_key(tmp_path) == key
        assert (tmp_path / "secret_key").stat().st_mode & 0o777 == 0o600
