"""The command's verbs about images: import, export, history, inspect, prune."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from layerstore import LayerStore
from layerstore.command import main
from tests.command.fixtures import Run
from tests.support.archives import NAME, as_directory, oci_layout
from tests.support.tars import layer_tar

ROOTFS = layer_tar({"etc": None, "etc/os": b"odd", "etc/.wh.real": b"", "sh": "etc/os"})


def names_in(tar: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        return archive.getnames()


def test_an_imported_tar_is_an_image_of_one_layer(run: Run, root_dir: Path) -> None:
    path = root_dir / "rootfs.tar"
    path.write_bytes(layer_tar({"etc": None, "etc/os": b"odd"}))
    changes = ['CMD ["sh", "-l"]', "ENV A=1 B='2 3'", "ENV C 4", "WORKDIR /etc", "USER 1:2",
               "LABEL x=y", "EXPOSE 80 53/udp", "ENTRYPOINT run it", "VOLUME /data",
               "HEALTHCHECK --interval=5s CMD up"]  # fmt: skip
    words = [word for change in changes for word in ("-c", change)]
    image_id = run("import", *words, path, "odd:1").strip()
    (facts,) = json.loads(run("inspect", "odd:1"))
    assert facts["Id"] == image_id
    assert facts["RepoTags"] == ["odd:1"]
    assert facts["Comment"] == f"Imported from {path}"
    assert len(facts["RootFS"]["Layers"]) == 1
    assert facts["Config"] == {
        "Cmd": ["sh", "-l"],
        "Entrypoint": ["/bin/sh", "-c", "run it"],
        "Env": ["A=1", "B=2 3", "C=4"],
        "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
        "Healthcheck": {"Test": ["CMD-SHELL", "up"], "Interval": 5_000_000_000},
        "Labels": {"x": "y"},
        "User": "1:2",
        "Volumes": {"/data": {}},
        "WorkingDir": "/etc",
    }
    run("create", "web", "--image", "odd:1")
    assert (Path(run("mount", "web").strip()) / "etc/os").read_bytes() == b"odd"
    run("umount", "web")


def test_a_tar_is_imported_from_standard_input(arguments: list[str], run: Run) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "layerstore.command", *arguments, "import", "-", "odd:1"],
        input=ROOTFS,
        check=True,
        capture_output=True,
    )
    assert done.stdout.decode().startswith("sha256:")
    assert run("images", "--format", "{{.Repository}}") == "odd\n"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("RUN true", "begins with one of CMD"),
        ("STOPSIGNAL SIGQUIT", "begins with one of CMD"),
        ("USER", "nothing follows"),
        ('CMD ["a", 1]', "has strings only"),
        ('WORKDIR ""', "a directory follows"),
        ("EXPOSE http", "no port"),
        ("LABEL a='x", "there is no ' in the end"),
    ],
)
def test_a_bad_change_imports_nothing(run: Run, root_dir: Path, change: str, message: str) -> None:
    path = root_dir / "rootfs.tar"
    path.write_bytes(ROOTFS)
    assert message in run("import", "-c", change, path, "odd:1", status=1)
    assert run("images", "-q") == ""


def test_an_image_is_flattened(loaded: Run) -> None:
    image_id = loaded("flatten", NAME, "flat:1").strip()
    (facts,) = json.loads(loaded("inspect", "flat:1"))
    assert facts["Id"] == image_id
    assert len(facts["RootFS"]["Layers"]) == 1
    assert "does not exist" in loaded("flatten", "none:1", status=1)


@pytest.mark.parametrize("words", [["missing.tar", "x"], ["/dev/null", "UPPER"]])
def test_what_cannot_be_imported_leaves_nothing(run: Run, words: list[str]) -> None:
    run("import", *words, status=1)
    assert json.loads(run("images", "--json")) == []
    assert json.loads(run("du", "--json"))["layers"]["total"] == 0


def test_a_whole_root_file_system_is_exported(loaded: Run, root_dir: Path) -> None:
    out = root_dir / "out.tar"
    loaded("export", NAME, "-o", out)
    of_image = names_in(out.read_bytes())
    assert sorted(of_image) == ["bin", "bin/sh", "etc", "etc/name"]
    loaded("create", "web", "--image", NAME)
    path = Path(loaded("mount", "web").strip())
    (path / "new").write_bytes(b"1")
    os.link(path / "new", path / "same")
    (path / "bin/sh").unlink()
    loaded("export", "web", "-o", out)
    with tarfile.open(out) as archive:
        assert archive.getnames() == ["bin", "etc", "etc/name", "new", "same"]
        assert archive.getmember("same").linkname == "new"
        content = archive.extractfile("etc/name")
        assert content is not None
        assert content.read() == b"top"
    loaded("umount", "web")
    before = loaded("ls", "--format", "{{.Status}}")
    loaded("export", "web", "-o", out)
    assert loaded("ls", "--format", "{{.Status}}") == before == "not mounted\n"
    assert [path.name for path in root_dir.iterdir() if path.name.startswith("out")] == ["out.tar"]


def test_what_is_exported_can_be_imported(loaded: Run, root_dir: Path) -> None:
    first, second = root_dir / "1.tar", root_dir / "2.tar"
    loaded("export", NAME, "-o", first)
    loaded("import", first, "again:1")
    loaded("export", "again:1", "-o", second)
    assert names_in(first.read_bytes()) == names_in(second.read_bytes())


def test_history_has_a_line_for_each_step(loaded: Run) -> None:
    loaded("create", "web", "--image", NAME)
    (Path(loaded("mount", "web").strip()) / "new").write_bytes(b"12345")
    first = loaded("commit", "web", "next:1", "-m", "why").strip()
    loaded("umount", "web")
    loaded("create", "idle", "--image", "next:1")
    second = loaded("commit", "idle", "next:2").strip()
    form = "{{.ID}} {{.Size}} {{.CreatedBy}} {{.Comment}}"
    assert loaded("history", "--no-trunc", "--format", form, "next:2").splitlines() == [
        f"{second} 0B layerstore commit idle ",
        f"{first} 5B layerstore commit web why",
    ]
    newest, older = json.loads(loaded("history", "--json", "next:2"))
    assert (newest["size"], older["size"]) == (0, 5)
    assert older["comment"] == "why"
    assert loaded("history", "-q", "next:2") == f"{second[7:19]}\n{first[7:19]}\n"
    assert loaded("history", "--no-human", "--format", "{{.Size}}", "next:1") == "5\n"


def test_inspect_tells_of_mounts_images_and_layers(loaded: Run, driver_name: str) -> None:
    mount_id = loaded("create", "web", "--image", NAME).strip()
    mount, image = json.loads(loaded("inspect", "web", NAME))
    assert (mount["Id"], mount["Name"], mount["ImageName"]) == (mount_id, "web", NAME)
    assert mount["State"] == {"Status": "ready", "Mounted": False}
    assert mount["Image"] == image["Id"]
    assert mount["GraphDriver"]["Name"] == driver_name
    assert mount["GraphDriver"]["Data"]
    top = image["RootFS"]["ChainIDs"][-1]
    assert mount["Parent"] == top
    (layer,) = json.loads(loaded("inspect", top[:20]))
    assert (layer["Id"], layer["Depth"]) == (top, 2)
    assert layer["DiffId"] == image["RootFS"]["Layers"][-1]
    assert loaded("inspect", "--format", "{{json .Config.Cmd}}", NAME) == '["/bin/sh"]\n'
    assert loaded("inspect", "--type", "mount", "--format", "{{.Name}}", "web") == "web\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none"], "there is no read-write layer, image or layer none"),
        (["--type", "image", "none"], "image none does not exist"),
        (["--type", "layer", "none"], "layer none does not exist"),
        (["--format", "{{.Name}}", NAME], "there is no field Name, but Annotations"),
    ],
)
def test_what_cannot_be_inspected_is_told(
    loaded: Run, words: list[str], message: str, arguments: list[str], capfd: Any
) -> None:
    assert main([*arguments, "inspect", *words]) == 1
    assert message in capfd.readouterr().err


def test_prune_removes_only_what_nobody_needs(
    loaded: Run, arguments: list[str], driver_name: str
) -> None:
    loaded("create", "web", "--image", NAME)
    (Path(loaded("mount", "web").strip()) / "new").write_bytes(b"x" * 5000)
    nameless = loaded("commit", "web").strip()
    loaded("umount", "web")
    with LayerStore(arguments[1], driver=driver_name) as store:
        left = store.register(layer_tar({"left": b"y" * 3000})).chain_id
    printed = loaded("prune", "-f").splitlines()
    assert printed[0] == f"Deleted: {nameless}"
    assert f"Deleted: {left}" in printed
    assert printed[-1] == "Total reclaimed space: 8kB"
    assert loaded("prune", "-f") == "Total reclaimed space: 0B\n"
    assert loaded("prune", "-f", "-a") == "Total reclaimed space: 0B\n", "web needs the image"
    loaded("mount", "web")
    assert loaded("prune", "-f", "-a", "--rw").startswith(
        "Deleted mount: web" if driver_name == "vfs" else "Total"
    )
    if driver_name != "vfs":
        loaded("umount", "web")
        assert loaded("prune", "-f", "-a", "--rw").splitlines()[:2] == [
            "Deleted mount: web",
            f"Untagged: {NAME}",
        ]
    assert loaded("images", "-q") == loaded("ls", "-q") == ""
    assert json.loads(loaded("du", "--json"))["layers"]["total"] == 0


def test_prune_asks_first(arguments: list[str], loaded: Run) -> None:
    command = [sys.executable, "-m", "layerstore.command", *arguments, "prune", "-a"]
    for answer, status in (("", 1), ("n\n", 1), ("y\n", 0)):
        done = subprocess.run(command, input=answer, text=True, capture_output=True, check=False)
        assert done.returncode == status
        assert "all images that no read-write layer is made from" in done.stderr
        assert (loaded("images", "-q") == "") == (status == 0)


def test_one_image_of_a_layout_is_loaded_by_its_name_behind_a_colon(
    run: Run, root_dir: Path
) -> None:
    layout = root_dir / "with:colon"
    for number in (1, 2):
        made = oci_layout(
            [layer_tar({"n": b"%d" % number})],
            {"org.opencontainers.image.ref.name": f"app:{number}"},
        )
        as_directory(made, root_dir / f"app:{number}")
        as_directory(made, layout)
    assert run("load", f"{layout}:app:2") == "Loaded image: app:2\n"
    assert run("load", root_dir / "app:1") == "Loaded image: app:1\n"
    assert run("load", "-i", f"{root_dir}/app:1:app:1") == "Loaded image: app:1\n"
    assert "PATH:REF is one of app:2" in run("load", f"{layout}:app:3", status=1)
    assert "is to follow the colon" in run("load", f"{layout}:", status=1)
    assert "No such file" in run("load", f"{root_dir}/none:app:1", status=1)


def test_inspect_shows_what_a_layout_calls_an_image_that_is_no_name(
    run: Run, arguments: list[str], driver_name: str, root_dir: Path
) -> None:
    called = {"org.opencontainers.image.ref.name": "app:1+build"}
    layout = as_directory(oci_layout([layer_tar({"n": b""})], called), root_dir / "layout")
    with LayerStore(arguments[1], driver=driver_name) as store:
        (image,) = store.images.load(layout, notice=lambda _: None)
    (facts,) = json.loads(run("inspect", image.id))
    assert facts["Annotations"] == [called]
