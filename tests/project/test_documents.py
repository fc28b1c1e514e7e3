"""What README.md, docs/*.md and the command's help say can be done is done, word for word."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from layerstore.command import main
from layerstore.command.parsing.dockers.table import OPTIONS
from tests.project.documents import DOCUMENTS, HERE, BadDocument, Block, blocks, script_of
from tests.support.busybox import image_tar, rootfs_tar

_HELP = re.compile(r"^examples:\n((?:  .*\n|\n)+)", re.MULTILINE)
_PULLING = {"README.md", "command.md", "tutorial.md"}
"""Documents that pull, from a registry that stands in for docker's own, too."""
_NEEDED = dict.fromkeys(_PULLING, ("docker-registry",)) | {
    "hosts.md": ("docker-registry", "skopeo"),
    "registries.md": ("docker-registry", "htpasswd", "openssl"),
}
"""Programs that a document's examples run."""
_LONG = {"command.md", "hosts.md", "pytest.md"}
"""Documents whose examples take more than a few seconds."""
_ALONE = ("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc")
_PARTS = 4
"""Of the help, so that they are tried side by side."""
_RESET = """
layerdb=/var/lib/layerstore/image/overlay2
cd "$place"; rm -rf *
cp "$kept"/* .
grep -qs '"app:1"' $layerdb/repositories.json || layerstore load -q image.tar > /dev/null
test -e $layerdb/layerdb/mounts/web || layerstore create web --image app:1 > /dev/null
layerstore mount web > /dev/null
"""

_RUNS = """
layerstore run --init --name box app:1 sh -c 'touch /ready; sleep 60' &
until layerstore exec box test -e /ready 2> /dev/null; do sleep 0.1; done
"""
_OF_RUNNING = {"exec", "pause", "resume", "stats"}
"""Verbs whose examples are about a command that runs."""


def private_run(script: str, place: Path, setup: str = "") -> subprocess.CompletedProcess[str]:
    """Run a script where /var/lib is a directory of the test's, so that no store is there.

    In a mount namespace of its own, with which all mounts go; in one of networks with nothing but
    loopback, so that what listens there is the script's own; and in one of processes, of which none
    outlives it.
    """
    for name in ("lib", "bin", "work"):
        (place / name).mkdir()
    prelude = f"""
    mount --make-rprivate /
    mount --bind {place}/lib /var/lib
    busybox ip link set lo up
    exec 9< <(PYTHONPATH={HERE} exec python -m tests.command.warm {place}/bin)
    trap "kill $!" EXIT
    read -r ready <&9
    PATH={place}/bin:$PATH
    {setup}
    """
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(place),
    }
    for name in ("LAYERSTORE_ROOT", "CONTAINERS_REGISTRIES_CONF"):
        environment.pop(name, None)
    return subprocess.run(
        [*_ALONE, "bash", "-c", prelude + "\n" + script],
        cwd=place / "work",
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def standing_in(place: Path) -> str:
    """Return what starts the registry that examples pull from, in a script."""
    command = f"python -m tests.support.registries.stand_in {place}/registry"
    return f"exec 8< <(PYTHONPATH={HERE} exec {command})\nread -r ready <&8"


@pytest.fixture
def place(root_dir: Path) -> Path:
    """A directory with `kept`, in which lie the files that examples begin with."""
    kept = root_dir / "kept"
    kept.mkdir()
    (kept / "image.tar").write_bytes(image_tar())
    (kept / "rootfs.tar").write_bytes(rootfs_tar())
    return root_dir


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_block_of_a_document_is_marked(path: Path) -> None:
    for block in blocks(path):
        if block.mark == "toml":
            tomllib.loads(block.text)


def executed(path: Path) -> list[Block]:
    """Return a document's blocks, none if it is one that can't be read: another test tells."""
    try:
        return [block for block in blocks(path) if block.mark.split()[0] in ("sh", "python")]
    except BadDocument:
        return []


@pytest.mark.root
@pytest.mark.needs("/bin/busybox", "unshare")
@pytest.mark.parametrize(
    "path",
    [
        pytest.param(
            path,
            marks=[
                pytest.mark.needs(*_NEEDED.get(path.name, ())),
                *([pytest.mark.thorough] if path.name in _LONG else []),
            ],
        )
        for path in DOCUMENTS
        if executed(path)
    ],
    ids=lambda path: path.name,
)
def test_the_examples_of_a_document_run(path: Path, place: Path) -> None:
    setup = f"cp {place}/kept/* ."
    if path.name in _PULLING:
        setup += f"\n{standing_in(place)}"
    done = private_run(script_of(executed(path)), place, setup)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.root
@pytest.mark.needs("unshare")
def test_the_readme_s_way_to_install_works(place: Path, request: pytest.FixtureRequest) -> None:
    if not request.config.getoption("--install-examples"):
        pytest.skip("fetches packages: --install-examples")
    found = [block for block in blocks(HERE / "README.md") if block.mark == "sh install"]
    assert found
    overlays = "\n".join(
        f"mkdir -p {place}/{name}/u {place}/{name}/w\n"
        f"mount -t overlay -o lowerdir={lower},upperdir={place}/{name}/u,workdir={place}/{name}/w "
        f"overlay {lower}"
        for name, lower in (("opt", "/opt"), ("checkout", HERE))
    )
    script = "\n".join(["set -euo pipefail", overlays, f"cd {HERE}", *(b.text for b in found)])
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "bash", "-c", script],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_is_left_to_ci_is_what_ci_does() -> None:
    (block,) = (block for block in blocks(HERE / "README.md") if block.mark == "sh ci")
    done = (HERE / ".ci/run").read_text()
    for words in ("$(cat .ci/packages)", "--config-settings editable_mode=strict"):
        assert words in block.text
        assert words in done
    for text in (block.text, done):
        assert re.search(r"-e '\.\[dev[],]", text), "with the extra that the tests need"


def test_the_readme_is_one_screen_and_the_site_has_every_document() -> None:
    readme = (HERE / "README.md").read_text()
    assert len(readme.splitlines()) < 90
    site = (HERE / "mkdocs.yml").read_text()
    for path in DOCUMENTS[1:]:
        assert f": {path.name}\n" in site


def help_pages(capfd: pytest.CaptureFixture[str]) -> dict[str, str]:
    """Return the page of every verb."""
    main(["help"])
    verbs = re.findall(r"^    (\w+) {2,}", capfd.readouterr().out, re.MULTILINE)
    pages = {}
    for verb in verbs:
        main(["help", verb])
        pages[verb] = capfd.readouterr().out
    return pages


@pytest.mark.root
@pytest.mark.thorough
@pytest.mark.needs("/bin/busybox", "docker-registry", "unshare")
@pytest.mark.parametrize("part", range(_PARTS))
def test_the_examples_of_the_help_run(
    part: int, place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    script = [f"set -euo pipefail\nplace=$PWD kept={place}/kept"]
    for verb, page in list(help_pages(capfd).items())[part::_PARTS]:
        found = _HELP.search(page)
        assert found is not None, verb
        script += [_RESET, f"echo {verb} >&2"]
        if verb in _OF_RUNNING:
            script += [_RUNS, found[1], "kill $!; wait $! || test $? = 143"]
        else:
            script.append(found[1])
    done = private_run("\n".join(script), place, standing_in(place))
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr


def test_the_reference_has_a_section_for_every_verb(capfd: pytest.CaptureFixture[str]) -> None:
    reference = (HERE / "docs/command.md").read_text()
    for verb in help_pages(capfd):
        assert f"`{verb}`" in reference or f"\nlayerstore {verb} " in reference, verb


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a\n\n    b\n", "a block without a mark"),
        ("```\na\n```\n", "the mark '' says nothing"),
        ("```bash\na\n```\n", "the mark 'bash' says nothing"),
        ("```sh\na\n", "never ends"),
    ],
)
def test_no_block_is_left_out_silently(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "doc.md"
    path.write_text(text)
    with pytest.raises(BadDocument, match=reason):
        blocks(path)


def test_what_run_lacks_is_told_on_its_page() -> None:
    page = (HERE / "docs/run.md").read_text()
    rows = [
        f"| {', '.join(f'`{option}`' for option in options.split())} | {answer} |"
        for options, answer in OPTIONS["run"].items()
    ]
    assert len(rows) > 20
    assert [row for row in rows if row not in page] == []
