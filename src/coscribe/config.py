"""Settings: from the environment (``COSCRIBE_...``) and the command line, in one place."""

from __future__ import annotations

from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict

from coscribe.core.document_state import Limits
from coscribe.documents.snapshot_manager import SnapshotPolicy
from coscribe.gateway.connection import GatewayLimits


class Settings(BaseSettings):
    """All settings with their defaults. Nested ones: ``COSCRIBE_POLICY__SECONDS=30``."""

    model_config = SettingsConfigDict(env_prefix="COSCRIBE_", env_nested_delimiter="__", extra="ignore")

    folder: Path = Path(".coscribe")
    host: str = "127.0.0.1"
    port: int = 8777
    origins: frozenset[str] = frozenset()
    limits: Limits = Limits()
    policy: SnapshotPolicy = SnapshotPolicy()
    gateway: GatewayLimits = GatewayLimits()
    max_backlog: int = 50_000
    retry_after_ms: int = 1_000
    token_secret: str = ""

    @property
    def database(self) -> Path:
        return self.folder / "coscribe.db"
