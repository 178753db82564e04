"""What is installed is pinned by hash, and what compose starts has no password that all know."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
RUN = PROJECT["project"]["dependencies"] + PROJECT["build-system"]["requires"]
EXTRAS = PROJECT["project"]["optional-dependencies"]


def locked(*names: str) -> dict[str, tuple[str, list[str]]]:
    """Return version and hashes of each package in these files of .lock."""
    hashes = {}
    for name in names:
        text = (ROOT / ".lock" / f"{name}.txt").read_text().replace("\\\n", " ")
        for line in text.splitlines():
            package, version = line.split(";")[0].split("--hash")[0].strip().split("==")
            hashes[canonicalize_name(package)] = (
                version,
                re.findall(r"--hash=sha256:(\w{64})", line),
            )
    return hashes


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        (("run",), RUN),
        (("run", "evaluate"), RUN + EXTRAS["evaluate"]),
        (("run", "dev"), RUN + EXTRAS["dev"] + EXTRAS["stack"]),
        (("run", "bench"), RUN + EXTRAS["bench"]),
        (("quixstreams",), (ROOT / "tests/bench/quixstreams.in").read_text().splitlines()[1:]),
        (("peers",), (ROOT / "tests/bench/peers.in").read_text().splitlines()[1:]),
        (("flink",), (ROOT / "tests/bench/flink.in").read_text().splitlines()[1:]),
        (("go",), (ROOT / "tests/clients/go.in").read_text().splitlines()[1:]),
    ],
)
def test_each_dependency_is_locked_at_a_version_that_it_allows(files, wanted):
    versions = locked(*files)
    for requirement in map(Requirement, wanted):
        version, hashes = versions[canonicalize_name(requirement.name)]
        assert version in requirement.specifier, f"{requirement}: `make lock`"
        assert hashes
    assert all(hashes for _, hashes in versions.values())


def test_extras_agree_on_versions():
    dev, evaluate = locked("dev"), locked("evaluate")
    shared = dev.keys() & evaluate.keys()
    assert "matplotlib" in shared
    assert {name: dev[name] for name in shared} == {name: evaluate[name] for name in shared}


def test_nothing_is_installed_but_by_hash():
    installs = []
    for file in ("Makefile", "docker/Dockerfile"):
        text = (
            (ROOT / file)
            .read_text()
            .replace("\\\n", " ")
            .replace("$(INSTALL)", "pip install $(HASHED)")
        )
        installs += re.findall(
            r"pip install\b[^&|;\n]*", text.replace("$(HASHED)", "--require-hashes")
        )
    # The project itself, and the tool that writes the lock.
    exempt = ("--no-deps --no-build-isolation", "--quiet uv==")
    assert len(installs) >= 6
    assert [
        i for i in installs if "--require-hashes" not in i and not any(e in i for e in exempt)
    ] == []


@pytest.mark.parametrize("name", ["compose.yaml", "watch.yaml"])
def test_compose_has_no_default_password_and_no_port_beyond_this_machine(name):
    text = (ROOT / "docker" / name).read_text()
    secrets = re.findall(r"\$\{\w*(?:PASSWORD|TOKEN|SECRET|KEY)\w*(.)(.)", text)
    assert secrets
    assert set(secrets) == {(":", "?")}, "a secret is asked for, never made up"
    ports = re.findall(r"ports: \[(.*)\]", text)
    assert len(ports) == text.count("ports:") > 0
    assert all(port.startswith('"127.0.0.1:') for port in ports)
