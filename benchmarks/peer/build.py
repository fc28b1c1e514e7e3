"""Building the program around moby's layer package, from Debian's sources with Debian's Go.

Owns the cache of built programs. Changes nothing of the machine's configuration: apt is given lists
and a cache of its own. A program is known by the version of moby and by what `main.go` says.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

GOCODE = Path("/usr/share/gocode")
MAIN = Path(__file__).with_name("main.go")
_LIBRARY = "golang-github-docker-docker-dev"
PACKAGES = (
    "golang-go",
    _LIBRARY,
    "golang-github-vbatts-tar-split-dev",
    "golang-github-moby-locker-dev",
    "golang-github-moby-sys-dev",
    "golang-gocapability-dev",
)
"""What has to be installed; moby's library brings the rest of what it needs."""
_IMPORTED = ("github.com/docker/docker/daemon/graphdriver", "github.com/vbatts/tar-split")
_MISSING = ("layer", "plugin/v2", "quota")
"""Moby's own packages that the library in Debian leaves out."""
_SOURCE = "docker.io"
_MIRRORS = "deb-src $(REPO_URI) $(RELEASE) $(COMPONENT)"


class PeerUnavailable(Exception):
    """Moby can't be built here; the message says what is missing, or what failed."""


def cache_directory() -> Path:
    """Return where built programs are kept if nobody says otherwise."""
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(caches) / "layerstore-benchmarks"


def built(cache: Path) -> tuple[Path, str]:
    """Return the program, which is built if it isn't in the cache, and the version of moby in it.

    Raises PeerUnavailable.
    """
    require()
    version = _run("dpkg-query", "-W", "-f", "${source:Version}", _LIBRARY)
    text = hashlib.sha256(MAIN.read_bytes()).hexdigest()[:16]
    program = cache / f"moby-{version}-{text}"
    if not program.exists():
        print(f"moby {version} is built, into {cache}", flush=True)
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="build-", dir=cache) as place:
            _unpack(_download(Path(place), version), Path(place))
            _compile(Path(place)).rename(program)
    return program, version


def require(gocode: Path = GOCODE) -> None:
    """Raise PeerUnavailable, with what to install, unless all is there to build with."""
    absent = [name for name in ("go", "apt-get", "dpkg-query") if shutil.which(name) is None]
    absent += [name for name in _IMPORTED if not (gocode / "src" / name).is_dir()]
    if absent:
        raise PeerUnavailable(
            f"moby's layer package can't be built: {', '.join(absent)} missing. On Debian: "
            f"apt-get install {' '.join(PACKAGES)}"
        )


def _download(place: Path, version: str) -> Path:
    """Have apt fetch, and check the signatures of, the sources of which the library was made."""
    for name in ("lists/partial", "cache/archives/partial", "parts", "sources"):
        (place / name).mkdir(parents=True)
    mirrors = _run(
        "apt-get", "indextargets", "--format", _MIRRORS, "Created-By: Packages", "Origin: Debian"
    )
    if not mirrors:
        raise PeerUnavailable("apt knows of no mirror of Debian's: apt-get update")
    (place / "sources.list").write_text(f"{mirrors}\n")
    settings = {
        "Dir::Etc::SourceList": place / "sources.list",
        "Dir::Etc::SourceParts": place / "parts",
        "Dir::State::Lists": place / "lists",
        "Dir::Cache": place / "cache",
        "APT::Sandbox::User": "root",
    }
    apt = ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in settings.items())]
    _run(*apt, "update")
    _run(*apt, "source", "--download-only", f"{_SOURCE}={version}", at=place / "sources")
    found = list((place / "sources").glob(f"{_SOURCE}_*.orig.tar.*"))
    if len(found) != 1:
        raise PeerUnavailable(f"{_SOURCE} {version} has {len(found)} tars of moby, not one")
    return found[0]


def _unpack(archive: Path, place: Path) -> None:
    """Unpack what the library leaves out, to lie before it in Go's path."""
    target = place / "go/src/github.com/docker/docker"
    target.mkdir(parents=True)
    wanted = [f"moby-*/engine/{package}/*" for package in _MISSING]
    options = ("--strip-components=3", "--wildcards", "--no-anchored", "--no-same-owner")
    _run("tar", "-x", "-f", str(archive), "-C", str(target), *options, *wanted)


def _compile(place: Path) -> Path:
    program = place / "moby"
    environment = os.environ | {
        "GO111MODULE": "off",
        "GOPATH": f"{place / 'go'}:{GOCODE}",
        "GOCACHE": str(place / "go-cache"),
        "GOFLAGS": "",
        "GOPROXY": "off",
        "CGO_ENABLED": "0",
    }
    _run("go", "build", "-o", str(program), str(MAIN), environment=environment)
    return program


def _run(*command: str, at: Path | None = None, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        command, cwd=at, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise PeerUnavailable(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout.strip()
