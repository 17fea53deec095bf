"""deploy/kubernetes, laid together by kubectl: it fits the schemas of Kubernetes, and its parts fit each other."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]  # it has no types
import pytest
import yaml

from coscribe.config import Settings
from tests.deploy.docker import ROOT
from tests.deploy.settings import unknown

KUBERNETES = ROOT / "deploy" / "kubernetes"
OVERLAYS = sorted(path.name for path in (KUBERNETES / "overlays").iterdir())
VERSIONS = ["1.30", kubernetes_validate.latest_version()]
OF_OTHERS = {"PrometheusRule", "ServiceMonitor"}
"""Kinds that are none of Kubernetes' own."""

SECRET = {
    "COSCRIBE_DATABASE_URL": "postgresql://coscribe:p@postgres:5432/coscribe",
    "COSCRIBE_NATS": "nats://coscribe:n@nats:4222",
    "COSCRIBE_TOKEN_SECRET": "t",
}
"""What operators put into the secret `coscribe`."""

Manifest = dict[str, Any]


@cache
def laid_together(overlay: str) -> str:
    if shutil.which("kubectl") is None:
        pytest.skip("there is no kubectl for this platform")
    command = ["kubectl", "kustomize", str(KUBERNETES / "overlays" / overlay)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


class Overlay:
    """All manifests of an overlay, and how one finds another."""

    def __init__(self, name: str) -> None:
        self.manifests: list[Manifest] = list(yaml.safe_load_all(laid_together(name)))

    def of(self, *kinds: str) -> list[Manifest]:
        return [one for one in self.manifests if one["kind"] in kinds]

    def named(self, kind: str, name: str) -> Manifest:
        (found,) = [one for one in self.of(kind) if one["metadata"]["name"] == name]
        return found

    def workloads(self) -> list[Manifest]:
        return self.of("Deployment", "StatefulSet")

    def ours(self) -> list[Manifest]:
        """The workloads that run Coscribe."""
        return [one for one in self.workloads() if one["metadata"]["name"] in ("core", "gateway")]

    def selected(self, selector: Manifest) -> list[Manifest]:
        """The workloads whose pods a selector means."""
        return [one for one in self.workloads() if fits(one["spec"]["template"]["metadata"]["labels"], selector)]


def fits(labels: dict[str, str], selector: Manifest) -> bool:
    """Whether labels are those of a selector, of a Service or of anything newer."""
    wanted = selector.get("matchLabels", {} if "matchExpressions" in selector else selector)
    expressions = selector.get("matchExpressions", [])
    assert all(one["operator"] == "In" for one in expressions)
    return all(labels.get(key) == value for key, value in wanted.items()) and all(
        labels.get(one["key"]) in one["values"] for one in expressions
    )


def pod(workload: Manifest) -> Manifest:
    found: Manifest = workload["spec"]["template"]["spec"]
    return found


def containers(overlay: Overlay) -> Iterator[tuple[Manifest, Manifest]]:
    for workload in overlay.workloads():
        for container in pod(workload)["containers"]:
            yield workload, container


def ports(workload: Manifest) -> set[str]:
    return {port["name"] for container in pod(workload)["containers"] for port in container["ports"]}


@pytest.fixture(params=OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> Overlay:
    return Overlay(request.param)


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_knows_every_field(overlay: Overlay, version: str) -> None:
    for manifest in overlay.manifests:
        if manifest["kind"] not in OF_OTHERS:
            kubernetes_validate.validate(manifest, version, strict=True)


def test_all_is_in_one_namespace_and_named_once(overlay: Overlay) -> None:
    (namespace,) = overlay.of("Namespace")
    others = [one for one in overlay.manifests if one is not namespace]
    assert {one["metadata"]["namespace"] for one in others} == {namespace["metadata"]["name"]}
    names = [(one["kind"], one["metadata"]["name"]) for one in others]
    assert len(set(names)) == len(names)
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_nothing_may_do_more_than_it_has_to(overlay: Overlay) -> None:
    for workload, container in containers(overlay):
        spec = pod(workload)
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
        assert not any("hostPath" in volume for volume in spec["volumes"])


def test_the_image_says_the_same_of_who_runs_it(overlay: Overlay) -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    (user,) = set(re.findall(r"^USER (\d+):", dockerfile, re.M))
    (folder,) = set(re.findall(r"COSCRIBE_FOLDER=(\S+)", dockerfile))
    for workload in overlay.ours():
        assert pod(workload)["securityContext"]["runAsUser"] == int(user)
        (container,) = pod(workload)["containers"]
        assert folder in [mount["mountPath"] for mount in container["volumeMounts"]]


def test_everything_is_bounded_and_looked_at(overlay: Overlay) -> None:
    for workload, container in containers(overlay):
        assert set(container["resources"]["limits"]) == {"cpu", "memory"}
        assert set(container["resources"]["requests"]) == {"cpu", "memory"}
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            assert container[probe].get("httpGet", {"port": None})["port"] in ports(workload) | {None}
            assert "httpGet" in container[probe] or "exec" in container[probe]
        assert {volume["name"] for volume in pod(workload)["volumes"]} | {
            claim["metadata"]["name"] for claim in workload["spec"].get("volumeClaimTemplates", [])
        } == {mount["name"] for mount in container["volumeMounts"]}
    for workload in overlay.ours():
        (container,) = pod(workload)["containers"]
        assert (
            container["startupProbe"]["httpGet"]["path"] == container["livenessProbe"]["httpGet"]["path"] == "/healthz"
        )
        assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_an_end_has_time_to_be_orderly(overlay: Overlay) -> None:
    """Beside what waits before SIGTERM: 10 s for requests that are under way, then what is handed over and stored."""
    for workload in overlay.ours():
        (container,) = pod(workload)["containers"]
        waits = container.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", ["sleep", "0"])
        assert waits[0] == "sleep"
        assert pod(workload)["terminationGracePeriodSeconds"] - int(waits[1]) >= 45
    assert overlay.named("Deployment", "gateway")["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


def test_labels_select_what_they_mean(overlay: Overlay) -> None:
    for workload in overlay.workloads():
        assert overlay.selected(workload["spec"]["selector"]) == [workload]
        for spread in pod(workload).get("topologySpreadConstraints", []):
            assert overlay.selected(spread["labelSelector"]) == [workload]
    for service in overlay.of("Service"):
        found = overlay.selected(service["spec"]["selector"])
        if service["metadata"]["name"] == "nobody":
            assert found == []
            continue
        (workload,) = found
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports(workload)
    for workload in overlay.of("StatefulSet"):
        service = overlay.named("Service", workload["spec"]["serviceName"])
        assert service["spec"]["clusterIP"] == "None"
        assert overlay.selected(service["spec"]["selector"]) == [workload]


def test_each_of_ours_has_a_disruption_budget_that_lets_nodes_be_drained(overlay: Overlay) -> None:
    guarded = []
    for budget in overlay.of("PodDisruptionBudget"):
        (workload,) = overlay.selected(budget["spec"]["selector"])
        assert budget["spec"]["maxUnavailable"] == 1
        assert workload["spec"].get("replicas", 2) > 1
        guarded.append(workload["metadata"]["name"])
    assert sorted(guarded) == ["core", "gateway"]


def test_what_is_scaled_has_no_number_of_its_own(overlay: Overlay) -> None:
    for scaling in overlay.of("HorizontalPodAutoscaler"):
        target = scaling["spec"]["scaleTargetRef"]
        assert "replicas" not in overlay.named(target["kind"], target["name"])["spec"]
        assert scaling["spec"]["minReplicas"] > 1


def test_nobody_is_reached_who_is_not_named(overlay: Overlay) -> None:
    policies = overlay.of("NetworkPolicy")
    everybody = overlay.named("NetworkPolicy", "nobody")["spec"]
    assert everybody == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    reached: dict[str, list[Any]] = {}
    for policy in policies:
        selected = overlay.selected(policy["spec"]["podSelector"])
        assert selected, policy["metadata"]["name"]
        for rule in policy["spec"].get("ingress", []):
            assert rule["from"], "named, not everybody"
            for workload in selected:
                assert {port["port"] for port in rule["ports"]} <= ports(workload)
                reached.setdefault(workload["metadata"]["name"], []).extend(rule["from"])
    namespaces = {
        name: {
            one["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
            for one in found
            if "namespaceSelector" in one
        }
        for name, found in reached.items()
    }
    watched = {"monitoring"} if overlay.of("ServiceMonitor") else set()
    assert namespaces.get("core", set()) == watched
    assert namespaces["gateway"] == {"ingress"} | watched
    assert set(reached) - {"core"} == {one["metadata"]["name"] for one in overlay.workloads()} - {"core"}


def test_the_ingress_leads_to_gateways_and_not_to_metrics(overlay: Overlay) -> None:
    for ingress in overlay.of("Ingress"):
        (rule,) = ingress["spec"]["rules"]
        assert [rule["host"]] == ingress["spec"]["tls"][0]["hosts"]
        leads = {path["path"]: path["backend"]["service"] for path in rule["http"]["paths"]}
        assert {path: service["name"] for path, service in leads.items()} == {"/metrics": "nobody", "/": "gateway"}
        for service in leads.values():
            known = {port["name"] for port in overlay.named("Service", service["name"])["spec"]["ports"]}
            assert service["port"]["name"] in known


def test_claims_settings_and_secrets_are_where_they_are_looked_for(overlay: Overlay) -> None:
    """Secrets are made by operators, and are in no file here."""
    assert overlay.of("Secret") == []
    asked = set()
    for workload, container in containers(overlay):
        for volume in pod(workload)["volumes"]:
            if "persistentVolumeClaim" in volume:
                overlay.named("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"])
            if "configMap" in volume:
                overlay.named("ConfigMap", volume["configMap"]["name"])
        for source in container.get("envFrom", []):
            if "configMapRef" in source:
                overlay.named("ConfigMap", source["configMapRef"]["name"])
            else:
                asked.add(source["secretRef"]["name"])
        asked |= {
            variable["valueFrom"]["secretKeyRef"]["name"]
            for variable in container.get("env", [])
            if "secretKeyRef" in variable.get("valueFrom", {})
        }
    guide = (ROOT / "docs" / "operations.md").read_text()
    assert [name for name in asked if f"create secret generic {name} " not in guide] == []


def test_every_variable_sets_something() -> None:
    for path in KUBERNETES.rglob("*.yaml"):
        without_comments = re.sub(r"#.*", "", path.read_text())
        assert unknown(without_comments) == set(), path


def test_a_server_takes_the_settings(overlay: Overlay, monkeypatch: pytest.MonkeyPatch) -> None:
    for workload in overlay.ours():
        (container,) = pod(workload)["containers"]
        (settings,) = [source["configMapRef"]["name"] for source in container["envFrom"] if "configMapRef" in source]
        given = {variable["name"]: variable.get("value", "a-pod-0") for variable in container["env"]}
        for name, value in (overlay.named("ConfigMap", settings)["data"] | SECRET | given).items():
            monkeypatch.setenv(name, value)
        host = container["args"][container["args"].index("--host") + 1]
        taken = Settings(host=host)
        assert taken.exposure() is None
        assert taken.role == workload["metadata"]["name"]
        assert {port["containerPort"] for port in container["ports"]} == {taken.port}
        assert pod(workload)["enableServiceLinks"] is False, "COSCRIBE_PORT of a service would be taken for ours"


def test_images_are_named_in_one_place(overlay: Overlay) -> None:
    images = {container["image"] for workload, container in containers(overlay) if workload in overlay.ours()}
    assert len(images) == 1
    written = [
        line for path in KUBERNETES.rglob("*.yaml") for line in re.findall(r"^ +image: (.*)", path.read_text(), re.M)
    ]
    assert [name for name in written if ":" in name or "/" in name] == []
    assert all(":" in container["image"] for _, container in containers(overlay)), "a version is named"


def test_all_that_serves_is_watched() -> None:
    overlay = Overlay("large")
    (monitor,) = overlay.of("ServiceMonitor")
    watched = [
        one for one in overlay.of("Service") if fits(one["metadata"].get("labels", {}), monitor["spec"]["selector"])
    ]
    assert sorted(one["metadata"]["name"] for one in watched) == ["core", "gateway"]
    (endpoint,) = monitor["spec"]["endpoints"]
    assert all(endpoint["port"] in {port["name"] for port in one["spec"]["ports"]} for one in watched)
    (rules,) = overlay.of("PrometheusRule")
    assert rules["spec"] == yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text())
    (job,) = [one["replacement"] for one in endpoint["relabelings"] if one["targetLabel"] == "job"]
    assert f'up{{job="{job}"}}' in json.dumps(rules).replace("\\", "")
