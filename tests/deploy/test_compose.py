"""deploy/compose.yaml, as Compose reads it: limits, rights, names, ports, and settings that a server would take."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from typing import Any
from urllib.parse import urlsplit

import pytest

from coscribe.config import Settings
from tests.deploy.docker import ROOT
from tests.deploy.settings import unknown

DEPLOY = ROOT / "deploy"
SECRETS = {"POSTGRES_PASSWORD": "p", "NATS_PASSWORD": "n", "COSCRIBE_TOKEN_SECRET": "t"}

Service = dict[str, Any]


def rendered(*files: str, **variables: str) -> dict[str, Any]:
    """What Compose makes of the files and these variables."""
    if shutil.which("docker-compose") is None:
        pytest.skip("there is no docker-compose for this platform")
    arguments = [part for name in files for part in ("--file", name)]
    result = subprocess.run(
        ["docker-compose", *arguments, "config", "--format", "json"],
        cwd=DEPLOY,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@pytest.fixture(scope="module")
def services() -> dict[str, Service]:
    found: dict[str, Service] = rendered("compose.yaml", **SECRETS)["services"]
    return found


def of_coscribe(services: dict[str, Service]) -> dict[str, Service]:
    return {name: one for name, one in services.items() if "COSCRIBE_ROLE" in one["environment"]}


def test_two_of_each(services: dict[str, Service]) -> None:
    roles = sorted(one["environment"]["COSCRIBE_ROLE"] for one in of_coscribe(services).values())
    assert roles == ["core", "core", "gateway", "gateway"]
    assert all(name == one["environment"]["COSCRIBE_INSTANCE"] for name, one in of_coscribe(services).items())
    assert len({one["image"] for one in of_coscribe(services).values()}) == 1


def test_a_server_takes_the_settings(services: dict[str, Service], monkeypatch: pytest.MonkeyPatch) -> None:
    for one in of_coscribe(services).values():
        for variable, value in one["environment"].items():
            monkeypatch.setenv(variable, value)
        host = one["command"][one["command"].index("--host") + 1]
        settings = Settings(host=host)
        assert settings.exposure() is None
        database, bus = urlsplit(settings.database_url), urlsplit(settings.nats)
        assert (database.hostname, database.port) == ("postgres", 5432)
        assert (bus.hostname, bus.port) == ("nats", 4222)


def test_every_variable_sets_something() -> None:
    for name in ("compose.yaml", "compose.tls.yaml", "env.example"):
        assert unknown((DEPLOY / name).read_text()) == set(), name


def test_every_variable_is_in_the_example() -> None:
    told = set(re.findall(r"^#?([A-Z_]+)=", (DEPLOY / "env.example").read_text(), re.M))
    asked = set(re.findall(r"\$\{([A-Z_]+)", (DEPLOY / "compose.yaml").read_text()))
    assert asked == told


@pytest.mark.parametrize("secret", SECRETS)
def test_without_a_secret_nothing_starts(secret: str) -> None:
    assert f"\n{secret}=\n" in f"\n{(DEPLOY / 'env.example').read_text()}"
    with pytest.raises(AssertionError, match=rf"{secret}.*set it in \.env"):
        rendered("compose.yaml", **(SECRETS | {secret: ""}))


def test_one_port_is_open_and_on_loopback(services: dict[str, Service]) -> None:
    open_ports = [(name, port) for name, one in services.items() for port in one.get("ports", [])]
    ((name, port),) = open_ports
    assert (name, port["host_ip"], port["published"], port["target"]) == ("proxy", "127.0.0.1", "8080", 8080)


def test_with_tls_the_ports_are_those_of_the_web() -> None:
    proxy = rendered("compose.yaml", "compose.tls.yaml", SITE="notes.example", **SECRETS)["services"]["proxy"]
    assert [port["published"] for port in proxy["ports"]] == ["80", "443"]
    assert proxy["environment"] == {"SITE": "notes.example"}
    with pytest.raises(AssertionError, match="SITE"):
        rendered("compose.yaml", "compose.tls.yaml", **SECRETS)


def test_who_can_reach_whom(services: dict[str, Service]) -> None:
    of = {name: set(one["networks"]) for name, one in services.items()}
    assert of["proxy"] == {"front"}
    assert of["postgres"] == of["nats"] == {"back"}
    assert of["gateway-1"] == of["gateway-2"] == {"front", "back"}
    assert of["core-1"] == of["core-2"] == {"back", "outside"}
    assert rendered("compose.yaml", **SECRETS)["networks"]["back"]["internal"] is True


def test_everything_is_bounded_and_comes_back(services: dict[str, Service]) -> None:
    for name, one in services.items():
        assert set(one["deploy"]["resources"]["limits"]) == {"cpus", "memory", "pids"}, name
        assert one["restart"] == "unless-stopped", name
        assert one["logging"]["options"]["max-size"], name
        assert "no-new-privileges:true" in one["security_opt"], name
        assert "privileged" not in one, name


def test_roots_are_read_only_but_where_the_image_asks_for_more(services: dict[str, Service]) -> None:
    writable = {name for name, one in services.items() if not one.get("read_only")}
    capable = {name for name, one in services.items() if one.get("cap_drop") != ["ALL"]}
    assert writable == capable == {"postgres"}


def test_a_service_starts_when_what_it_needs_is_healthy(services: dict[str, Service]) -> None:
    checked = set(of_coscribe(services)) | {name for name, one in services.items() if "healthcheck" in one}
    assert checked == set(services), "the image of Coscribe has a check of its own"
    needs = {name: one.get("depends_on", {}) for name, one in services.items()}
    assert all(need["condition"] == "service_healthy" for found in needs.values() for need in found.values())
    assert set(needs["proxy"]) == {"gateway-1", "gateway-2"}
    assert set(needs["gateway-1"]) == set(needs["gateway-2"]) == {"core-1", "core-2"}
    assert set(needs["core-1"]) == set(needs["core-2"]) == {"postgres", "nats"}


def test_the_proxy_knows_the_gateways(services: dict[str, Service]) -> None:
    proxy = (DEPLOY / "Caddyfile").read_text()
    (line,) = re.findall(r"reverse_proxy (.*) \{", proxy)
    gateways = [name for name, one in of_coscribe(services).items() if one["environment"]["COSCRIBE_ROLE"] == "gateway"]
    assert line.split() == [f"{name}:8777" for name in sorted(gateways)]
    assert "respond /metrics 404" in proxy


def test_the_bus_asks_for_the_password_that_is_given(services: dict[str, Service]) -> None:
    assert "password: $NATS_PASSWORD" in (DEPLOY / "nats.conf").read_text()
    assert services["nats"]["environment"] == {"NATS_PASSWORD": "n"}
    assert services["core-1"]["environment"]["COSCRIBE_NATS"] == "nats://coscribe:n@nats:4222"


def test_the_proxy_takes_its_configuration() -> None:
    if shutil.which("caddy") is None:
        pytest.skip("there is no caddy for this platform")
    for site in ("http://:8080", "notes.example"):
        result = subprocess.run(
            ["caddy", "adapt", "--validate", "--adapter", "caddyfile", "--config", str(DEPLOY / "Caddyfile")],
            env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "SITE": site},
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        servers = json.loads(result.stdout)["apps"]["http"]["servers"]
        listening = sorted(address for server in servers.values() for address in server["listen"])
        assert listening == sorted([":8080" if site.startswith("http") else ":443", "127.0.0.1:2020"])
