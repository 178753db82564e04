"""What is shipped: a version with its changes, licences that allow it, an image, manifests."""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from streams.cli import main
from streams.process.settings import PLAIN, PREFIX, TABLE

ROOT = Path(__file__).resolve().parents[2]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
#: What is installed in the image: the program, and what it draws with.
LOCKS = ("run.txt", "evaluate.txt")
DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text()

# ------------------------------------------------------------------------- version


def test_the_first_part_of_the_changelog_is_of_this_version() -> None:
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert headings[0] == VERSION
    images = re.findall(r"image: undertow:(\S+)", "".join(path.read_text() for path in MANIFESTS))
    assert {*images} == {VERSION}


# ------------------------------------------------------------------------ licences

#: What may be in the image: they ask for their text to be kept, MPL for changes of its own files.
ALLOWED = {
    "MIT", "MIT-CMU", "BSD-2-Clause", "BSD-3-Clause", "0BSD", "Zlib", "CC0-1.0", "PSF-2.0", "ISC",
    "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "MPL-2.0",
}  # fmt: skip
CLASSIFIERS = {
    "MIT License": "MIT",
    "BSD License": "BSD-3-Clause",
    "Apache Software License": "Apache-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "ISC License (ISCL)": "ISC",
    # A BSD licence with a clause on names.
    "Repoze Public License": "BSD-3-Clause",
}


def licences(name: str) -> set[str]:
    """The licences of an installed package, all of which apply, as it declares them."""
    declared = metadata.metadata(name)
    if expression := declared.get("License-Expression"):
        return set(re.split(r" AND | OR ", re.sub("[()]", "", expression)))
    known = {c.rpartition(" :: ")[2] for c in declared.get_all("Classifier") or [] if c.startswith("License ::")}  # fmt: skip
    return {CLASSIFIERS.get(one, one) for one in known} or {declared.get("License") or "none"}


def installed_of(lock: str) -> Iterator[str]:
    for name in re.findall(r"^([\w.-]+)==", (ROOT / ".lock" / lock).read_text(), re.M):
        try:
            metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # of another platform or Python
        yield name


def test_every_package_in_the_image_has_a_licence_that_allows_it() -> None:
    names = [name for lock in LOCKS for name in installed_of(lock)]
    assert len(names) > 40
    refused = {name: licences(name) - ALLOWED for name in names}
    assert {name: which for name, which in refused.items() if which} == {}


def test_a_licence_that_is_not_allowed_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def declared(_: str) -> Any:
        import email.message

        message = email.message.Message()
        message["License-Expression"] = "MIT AND GPL-3.0-only"
        return message

    monkeypatch.setattr(metadata, "metadata", declared)
    assert licences("anything") - ALLOWED == {"GPL-3.0-only"}


def test_the_list_of_what_the_image_holds_is_the_lock_twice_the_same() -> None:
    command = [
        sys.executable, "-m", "cyclonedx_py", "requirements", "--output-reproducible", "--pyproject", "pyproject.toml",
        "-",
    ]  # fmt: skip
    locks = "".join((ROOT / ".lock" / lock).read_text() for lock in LOCKS)
    makefile = re.sub(r"\\\n\s*", "", (ROOT / "Makefile").read_text())
    assert " ".join(command[3:]) in makefile
    assert f"cat {' '.join(f'.lock/{lock}' for lock in LOCKS)} |" in makefile
    assert all(f"-r .lock/{lock}" in DOCKERFILE for lock in LOCKS)
    first, second = (
        subprocess.run(
            command, cwd=ROOT, capture_output=True, check=True, input=locks.encode()
        ).stdout
        for _ in "12"
    )
    assert first == second
    bom = json.loads(first)
    listed = {(one["name"], one["version"]) for one in bom["components"]}
    locked = re.findall(r"^([\w.-]+)==([^ ;\\]+)", locks, re.M)
    assert listed == {*locked}
    assert bom["metadata"]["component"]["version"] == VERSION


# --------------------------------------------------------------------------- image


def test_the_image_is_made_of_files_that_are_sent_to_the_builder() -> None:
    copied = [
        name for line in re.findall(r"^COPY (.+)$", DOCKERFILE, re.M) for name in line.split()[:-1]
    ]
    sent = (ROOT / "docker" / "Dockerfile.dockerignore").read_text().splitlines()
    assert len(copied) > 5
    for name in copied:
        assert (ROOT / name).exists(), name
        assert f"!{name}" in sent, f"{name} is not sent to the builder"


def test_the_image_runs_as_nobody_in_particular_from_what_is_hashed() -> None:
    instructions = re.findall(r"^([A-Z]+) (.*)", DOCKERFILE, re.M)
    bases = [rest for name, rest in instructions if name == "FROM"]
    assert all(re.fullmatch(r"python:3\.\d+-slim", base) for base in bases)
    users = [rest for name, rest in instructions if name == "USER"]
    assert users[-1] == "undertow"
    assert "--uid 10001" in DOCKERFILE
    assert instructions[-1][0] == "ENTRYPOINT"
    installs = [rest for name, rest in instructions if name == "RUN" and "pip install" in rest]
    assert all("--require-hashes" in one or "--no-deps" in one for one in installs)
    assert not [rest for name, rest in instructions if name == "ADD"]


# ----------------------------------------------------------------------- manifests

MANIFESTS = sorted((ROOT / "docker" / "kubernetes").glob("*.yaml"))
OBJECTS = [
    (path.name, each)
    for path in MANIFESTS
    for each in yaml.safe_load_all(path.read_text())
    if each["kind"] != "Kustomization"
]
PODS = {
    each["metadata"]["name"]: each["spec"]["template"]["spec"]
    for _, each in OBJECTS
    if "template" in each.get("spec", {})
}
STAGES = ("feed", "rollup", "detect", "sink", "notify", "board")


@pytest.mark.parametrize(("name", "manifest"), OBJECTS, ids=lambda x: x if isinstance(x, str) else x["kind"])  # fmt: skip
def test_a_manifest_is_what_kubernetes_takes(name: str, manifest: dict[str, Any]) -> None:
    for version in ("1.30", "1.36"):
        kubernetes_validate.validate(manifest, version, strict=True)


def test_a_manifest_with_a_misspelt_field_would_be_refused() -> None:
    _, manifest = next((n, m) for n, m in OBJECTS if m["kind"] == "Deployment")
    wrong = json.loads(json.dumps(manifest).replace('"readinessProbe"', '"readynessProbe"'))
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, "1.33", strict=True)


def test_all_manifests_are_applied_together() -> None:
    kustomization = yaml.safe_load((ROOT / "docker/kubernetes/kustomization.yaml").read_text())
    assert sorted(kustomization["resources"]) == [
        path.name for path in MANIFESTS if path.name != "kustomization.yaml"
    ]


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_is_probed_bounded_and_allowed_to_be_moved(stage: str) -> None:
    pod = PODS[f"undertow-{stage}"]
    [container] = pod["containers"]
    for probe, path in (("startup", "/healthz"), ("liveness", "/healthz"), ("readiness", "/readyz")):  # fmt: skip
        assert container[f"{probe}Probe"]["httpGet"]["path"] == path
    assert pod["terminationGracePeriodSeconds"] > 20, "SIGTERM is followed for 20 s"
    budgets = [m for _, m in OBJECTS if m["kind"] == "PodDisruptionBudget"]
    [budget] = [b for b in budgets if b["metadata"]["name"] == f"undertow-{stage}"]
    [workload] = [m for _, m in OBJECTS if "template" in m.get("spec", {}) and m["metadata"]["name"] == f"undertow-{stage}"]  # fmt: skip
    assert budget["spec"]["selector"] == workload["spec"]["selector"]
    assert workload["spec"]["replicas"] == (1 if stage in ("notify", "board") else 2)


@pytest.mark.parametrize("name", PODS)
def test_every_container_is_locked_down_and_writes_only_where_it_may(name: str) -> None:
    pod = PODS[name]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False, "UNDERTOW_DETECT_PORT would be no setting of ours"
    volumes = {v["name"] for v in pod["volumes"]} | {"data"}
    for container in (*pod["containers"], *pod.get("initContainers", [])):
        locked = container["securityContext"]
        assert locked["readOnlyRootFilesystem"] is True
        assert locked["allowPrivilegeEscalation"] is False
        assert locked["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["limits"]["memory"]
        assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
    [main_container] = pod["containers"]
    assert {m["mountPath"] for m in main_container["volumeMounts"]} >= {"/data", "/tmp"}


def test_what_the_manifests_set_and_call_is_what_we_have() -> None:
    known = {PREFIX + name.upper() for name in TABLE} | {name.upper() for name in PLAIN}
    for _, manifest in OBJECTS:
        given = {**manifest.get("data", {}), **manifest.get("stringData", {})}
        assert {name for name in given if name != "NUMBA_CACHE_DIR"} <= known
    for pod in PODS.values():
        [container] = pod["containers"]
        assert {*container["args"]} <= main.commands.keys()
        assert {one["name"] for one in container.get("env", [])} <= known
