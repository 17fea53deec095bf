"""Settings: from the environment (``COSCRIBE_...``) and the command line, in one place."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from socket import gethostname
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from coscribe.cluster.ports import Role
from coscribe.core.document_state import Limits
from coscribe.documents.budget import Budgets
from coscribe.documents.quota import Quotas
from coscribe.documents.snapshot_manager import SnapshotPolicy
from coscribe.gateway.socket import GatewayLimits
from coscribe.tracing import TracingSettings


class MailSettings(NamedTuple):
    """Where mail goes out; without a host it is printed on the console. ``security``: starttls, tls or none."""

    host: str = ""
    port: int = 587
    sender: str = "Coscribe <coscribe@localhost>"
    user: str = ""
    password: str = ""
    security: Literal["starttls", "tls", "none"] = "starttls"


class OidcProvider(BaseModel):
    """Where else people can sign in. ``name`` is part of addresses, ``label`` is what people read."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")
    issuer: str = Field(max_length=512)
    client_id: str = Field(min_length=1)
    client_secret: str = Field(default="", repr=False)
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    label: str = Field(default="", max_length=64)

    @field_validator("issuer")
    @classmethod
    def _protected_issuer(cls, issuer: str) -> str:
        if not is_protected(issuer) or "?" in issuer or "#" in issuer:
            raise ValueError("an issuer is an https address without ? and # (http on this machine only)")
        return issuer


class Settings(BaseSettings):
    """All settings with their defaults. Nested ones: ``COSCRIBE_POLICY__SECONDS=30``."""

    model_config = SettingsConfigDict(env_prefix="COSCRIBE_", env_nested_delimiter="__", extra="ignore")

    folder: Path = Path(".coscribe")
    database_url: str = Field(default="", repr=False)
    nats: str = Field(default="", repr=False)
    role: Role = Role.ALL
    instance: str = Field(default_factory=gethostname, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    working_trees: Path | None = None
    host: str = "127.0.0.1"
    port: int = 8777
    origins: frozenset[str] = frozenset()
    limits: Limits = Limits()
    policy: SnapshotPolicy = SnapshotPolicy()
    gateway: GatewayLimits = GatewayLimits()
    budgets: Budgets = Budgets()
    quotas: Quotas = Quotas()
    retention_days: int = Field(default=0, ge=0, le=36_500)
    checkpoint_hours: int = Field(default=24, ge=0, le=87_600)
    max_backlog: int = 50_000
    retry_after_ms: int = 100
    token_secret: str = ""
    public_url: str = ""
    sign_up: Literal["auto", "open", "invitation"] = "auto"
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    trusted_proxies: tuple[str, ...] = ()
    mail: MailSettings = MailSettings()
    rate_factor: float = 1.0
    open_metrics: bool = False
    password_workers: int = 0
    oidc: tuple[OidcProvider, ...] = ()
    tracing: TracingSettings = TracingSettings()

    @field_validator("oidc")
    @classmethod
    def _different_providers(cls, providers: tuple[OidcProvider, ...]) -> tuple[OidcProvider, ...]:
        fewest = min(len({one.name for one in providers}), len({one.issuer for one in providers}))
        if fewest < len(providers):
            raise ValueError("each provider has a name and an issuer of its own")
        return providers

    @field_validator("database_url")
    @classmethod
    def _postgresql(cls, url: str) -> str:
        if url and not url.startswith(("postgresql://", "postgres://")):
            raise ValueError("it begins with postgresql:// ; without it the database is a file in the folder")
        return url.replace("postgres://", "postgresql://", 1)

    @field_validator("tracing")
    @classmethod
    def _some_traced(cls, tracing: TracingSettings) -> TracingSettings:
        if tracing.one_in < 1:
            raise ValueError("one_in is 1 or more")
        return tracing

    @property
    def in_cluster(self) -> bool:
        """Whether there may be other instances."""
        return bool(self.nats)

    @property
    def where(self) -> Path | str:
        """Where the database is: the URL of a PostgreSQL, or the file of the embedded one."""
        return self.database_url or self.database

    @property
    def database(self) -> Path:
        """The file of the embedded database; used where there is no ``database_url``."""
        return self.folder / "coscribe.db"

    @property
    def trees(self) -> Path:
        """The folder of the working trees; people are told of it, wherever they are."""
        return (self.working_trees or self.folder / "workspaces").absolute()

    @property
    def imports(self) -> Path:
        """The folder of archives that are being imported."""
        return self.folder / "imports"

    @property
    def blobs(self) -> Path:
        return self.folder / "blobs"

    @property
    def url(self) -> str:
        """Where people reach this server, without a slash at the end."""
        scheme = "https" if self.tls_certificate else "http"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.public_url.rstrip("/") or f"{scheme}://{host}:{self.port}"

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return is_loopback(self.host)

    @property
    def open_sign_up(self) -> bool:
        return self.on_loopback and not self.trusted_proxies if self.sign_up == "auto" else self.sign_up == "open"

    def exposure(self) -> str | None:
        """Why it must not be started like this, and what to do; None: nothing is wrong."""
        if self.nats and not self.database_url:
            return "Several instances share a database: set COSCRIBE_DATABASE_URL to that of a PostgreSQL."
        if self.role is not Role.ALL and not self.nats:
            return f"A {self.role} is one of several instances: set COSCRIBE_NATS to the bus between them."
        if bool(self.tls_certificate) != bool(self.tls_key):
            return "A certificate and its key belong together: set COSCRIBE_TLS_CERTIFICATE and COSCRIBE_TLS_KEY."
        if self.trusted_proxies and not self.url.startswith("https://") and not is_protected(self.public_url):
            return (
                "Behind a proxy, set COSCRIBE_PUBLIC_URL to the https address that people use (or to the http address\n"
                "on this machine, where the proxy listens on loopback only)."
            )
        if self.on_loopback or self.tls_certificate or self.trusted_proxies:
            return None
        return (
            f"{self.host} can be reached from other machines, and passwords would travel unencrypted. Either listen\n"
            "on 127.0.0.1, or set COSCRIBE_TLS_CERTIFICATE and COSCRIBE_TLS_KEY, or put a TLS proxy in front and set\n"
            "COSCRIBE_TRUSTED_PROXIES='[\"address of the proxy\"]' and COSCRIBE_PUBLIC_URL=https://..."
        )


def is_protected(url: str) -> bool:
    """Whether what is sent to an address cannot be read or changed on the way: https, or this machine itself."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host)))


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
