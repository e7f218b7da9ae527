"""Typed readers of environment variables: a wrong value stops the start with one clear sentence."""

import os
import re
import secrets
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

_HOST = re.compile(r"([a-z0-9._-]+|\[[0-9a-f:.]+\])(:\d{1,5})?")


class BadSetting(SystemExit):
    """A setting that cannot be used; the message names the variable and what it takes."""


def text(name: str, default: str = "") -> str:
    """Return the variable, or the content of the file that ``NAME_FILE`` points to."""
    if path := os.environ.get(f"{name}_FILE"):
        return Path(path).read_text(encoding="utf-8").strip()
    return os.environ.get(name, default).strip()


def flag(name: str, *, default: bool) -> bool:
    value = text(name).lower()
    if value in {"", "1", "true", "yes", "on", "0", "false", "no", "off"}:
        return default if value == "" else value in {"1", "true", "yes", "on"}
    raise BadSetting(f"{name} must be 1 or 0, not {value!r}.")


def number(name: str, default: int) -> int:
    value = text(name) or str(default)
    if value.isdecimal():
        return int(value)
    raise BadSetting(f"{name} must be a whole number, not {value!r}.")


def names(name: str, default: str = "") -> list[str]:
    return [part.strip() for part in text(name, default).split(",") if part.strip()]


def hosts(name: str) -> frozenset[str]:
    """Names of hosts or addresses, each perhaps with a port: ``receiver.test``, ``127.0.0.1:9000``, ``[::1]``."""
    found = frozenset(part.lower() for part in names(name))
    if wrong := [part for part in found if not _HOST.fullmatch(part)]:
        raise BadSetting(f"{name} takes names of hosts such as 127.0.0.1 or receiver.test:9000, not {min(wrong)!r}.")
    return frozenset(part.replace("[", "").replace("]", "") for part in found)


def is_loopback(address: str) -> bool:
    """Whether an address is reached from this machine alone."""
    return urlsplit(address).hostname in {"localhost", "127.0.0.1", "::1"}


def oidc(prefix: str) -> dict[str, object]:
    """allauth's settings of the provider where staff signs in; nothing without ``OIDC_ISSUER``.

    The identity comes straight from the provider, so that the connection to it is what proves it: no plain http.
    """
    issuer = text(f"{prefix}_ISSUER").rstrip("/")
    if not issuer:
        return {}
    if not issuer.startswith("https://") and not is_loopback(issuer):
        raise BadSetting(f"{prefix}_ISSUER must start with https://.")
    if not (client_id := text(f"{prefix}_CLIENT_ID")):
        raise BadSetting(f"{prefix}_ISSUER needs {prefix}_CLIENT_ID, and {prefix}_CLIENT_SECRET.")
    return {
        "provider_id": "staff",
        "name": text(f"{prefix}_NAME") or "Single sign-on",
        "client_id": client_id,
        "secret": text(f"{prefix}_CLIENT_SECRET"),
        "settings": {"server_url": issuer, "oauth_pkce_enabled": True},
    }


def secret_key(data_dir: Path) -> str:
    """``SECRET_KEY``, or one made on first start and kept in the data folder (mode 600)."""
    if key := text("SECRET_KEY"):
        return key
    path = data_dir / "secret_key"
    if not path.exists():
        _make_secret(path)
    return path.read_text(encoding="ascii")


def _make_secret(path: Path) -> None:
    """Write a new key whole before it has its name, so that two first starts at once agree on one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.touch(mode=0o600)
    draft.write_text(secrets.token_urlsafe(50), encoding="ascii")
    with suppress(FileExistsError):
        os.link(draft, path)
    draft.unlink()


def database(url: str) -> dict[str, object]:
    """Django's settings for a ``postgresql://user:password@host:port/name`` address."""
    try:
        parts = urlsplit(url)
        port = str(parts.port or "")
    except ValueError as error:
        raise BadSetting(f"DATABASE_URL is not an address: {error}.") from error
    if parts.scheme not in {"postgres", "postgresql"}:
        raise BadSetting("DATABASE_URL must start with postgresql:// (Tandem runs on PostgreSQL only).")
    query = dict(pair.split("=", 1) for pair in parts.query.split("&") if "=" in pair)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")) or "postgres",
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": unquote(query.pop("host", parts.hostname or "")),
        "PORT": query.pop("port", port),
        "OPTIONS": {"connect_timeout": "5"} | {key: unquote(value) for key, value in query.items()},
    }


def email(url: str) -> dict[str, object]:
    """Django's e-mail settings for ``smtp://user:password@host:port`` (``smtps://``, ``smtp+tls://``).

    Without an address mail is kept and not sent.
    """
    if not url:
        return {"EMAIL_BACKEND": "django.core.mail.backends.dummy.EmailBackend"}
    parts = urlsplit(url)
    if parts.scheme not in {"smtp", "smtps", "smtp+tls"}:
        raise BadSetting("EMAIL_URL must start with smtp://, smtps:// or smtp+tls://.")
    return {
        "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
        "EMAIL_HOST": parts.hostname or "localhost",
        "EMAIL_PORT": parts.port or {"smtp": 25, "smtps": 465, "smtp+tls": 587}[parts.scheme],
        "EMAIL_HOST_USER": unquote(parts.username or ""),
        "EMAIL_HOST_PASSWORD": unquote(parts.password or ""),
        "EMAIL_USE_SSL": parts.scheme == "smtps",
        "EMAIL_USE_TLS": parts.scheme == "smtp+tls",
        "EMAIL_TIMEOUT": 20,
    }
