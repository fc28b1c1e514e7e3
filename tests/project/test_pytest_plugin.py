"""The pytest plugin, in runs of pytest of its own."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from pathlib import Path

import pytest

from layerstore.drivers.confine.stopped import SPAWNING, watching
from layerstore.testing.leaks import no_leaks
from tests.support.busybox import image_tar, rootfs_tar

pytest_plugins = ["pytester"]
pytestmark = [pytest.mark.root, pytest.mark.needs("/bin/busybox")]


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A directory with an image and a root file system's tar, for a pytest as users have it."""
    (pytester.path / "image.tar").write_bytes(image_tar())
    (pytester.path / "rootfs.tar").write_bytes(rootfs_tar())
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    return pytester


def outcomes(project: pytest.Pytester, test: str, *options: str, **expected: int) -> str:
    """Run the test file and return what pytest printed."""
    project.makepyfile(test_it=test)
    result = project.runpytest_subprocess("-p", "no:cacheprovider", "-ra", *options)
    result.assert_outcomes(**expected)
    return result.stdout.str()


def test_a_test_gets_a_fresh_root_file_system(project: pytest.Pytester) -> None:
    test = """
    import os
    import pytest

    @pytest.mark.parametrize("number", [1, 2])
    @pytest.mark.layerstore(image="image.tar")
    def test_image(layerstore_rootfs, number):
        done = layerstore_rootfs.run("/bin/sh", "-c", "echo hi; id -u; exit 3", user="app",
                                     env={"PATH": "/bin"})
        assert (done.status, done.stdout) == (3, b"hi\\n1000\\n")
        assert not (layerstore_rootfs / "/srv/new").exists()
        (layerstore_rootfs / "srv/new").write_text("1")
        assert [str(change) for change in layerstore_rootfs.changes()] == ["C /srv", "A /srv/new"]
        assert os.listdir(layerstore_rootfs)

    @pytest.mark.layerstore(tar="rootfs.tar")
    def test_tar(layerstore_rootfs):
        assert layerstore_rootfs.run("/bin/true", pids=20, read_only=True).status == 0

    def test_nothing(layerstore_rootfs, layerstore_store):
        assert layerstore_rootfs.changes() == []
        assert layerstore_store.mounts()[0].name == layerstore_rootfs.rw.name
    """
    printed = outcomes(project, test, "--layerstore-check-leaks", passed=4)
    assert "passed" in printed


def test_nothing_of_the_session_is_left(project: pytest.Pytester, tmp_path: Path) -> None:
    test = """
    import pytest

    @pytest.mark.layerstore(image="image.tar")
    def test_it(layerstore_rootfs, layerstore_store):
        open("root", "w").write(layerstore_store.root)
    """
    outcomes(project, test, passed=1)
    assert not os.path.exists((project.path / "root").read_text())


def test_a_root_of_ones_own_stays(project: pytest.Pytester, root_dir: Path) -> None:
    test = """
    import pytest

    def test_it(layerstore_rootfs, layerstore_store):
        assert layerstore_store.driver_name == "vfs"
        assert layerstore_store.images.list()
    """
    project.makeini(
        f"[pytest]\nlayerstore_root={root_dir}/store\nlayerstore_driver=vfs\n"
        "layerstore_image=image.tar\n"
    )
    outcomes(project, test, passed=1)
    assert (root_dir / "store/vfs").exists()


LEAKS = {
    "read-write layer mine": "layerstore_store.create_rw_layer('mine')",
    "read-write layer pytest-": "keep.append(layerstore_store.get_rw_layer("
    "layerstore_rootfs.rw.name))",
    "1 references of read-write layer shared": "keep.append("
    "layerstore_store.get_rw_layer('shared'))",
    "1 mounts of read-write layer shared": "keep[0].mount()",
    "layer sha256:": "keep.append(layerstore_store.register(TAR))",
    "thread left": "threading.Thread(target=event.wait, name='left', daemon=True).start()",
    "process ": "keep.append(subprocess.Popen(['sleep', '60']))",
    "mount /": "subprocess.run(['mount', '-t', 'tmpfs', 'x', str(tmp_path)], check=True)",
}


@pytest.mark.parametrize("half", [0, 1])
def test_what_a_test_leaves_is_told(project: pytest.Pytester, half: int) -> None:
    leaks = dict(list(LEAKS.items())[half::2])
    tests = "\n".join(
        f"def test_{number}(layerstore_store, layerstore_rootfs, tmp_path):\n    {line}\n"
        for number, line in enumerate(leaks.values())
    )
    head = (
        "import subprocess, threading, pytest\n"
        "keep, event = [], threading.Event()\n"
        "TAR = bytes(1024)\n"
        "@pytest.fixture(scope='session', autouse=True)\n"
        "def cleaned(tmp_path_factory, layerstore_store):\n"
        "    keep.append(layerstore_store.create_rw_layer('shared'))\n"
        "    yield\n"
        "    for found in keep:\n"
        "        if isinstance(found, subprocess.Popen):\n"
        "            found.kill(); found.wait()\n"
        "    for place in tmp_path_factory.getbasetemp().glob('test_*0'):\n"
        "        subprocess.run(['umount', str(place)], check=False)\n"
    )
    project.makepyfile(test_it=head + tests)
    result = project.runpytest_subprocess("-p", "no:cacheprovider", "--layerstore-check-leaks")
    result.assert_outcomes(passed=len(leaks), errors=len(leaks))
    for leak in leaks:
        assert f"the test leaves behind: {leak}" in result.stdout.str(), leak


def test_a_thread_that_only_just_starts_is_no_leak(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread = threading.Thread(target=print)
    with no_leaks(None, tmp_path):
        # As `Thread.start` has it until the new thread runs.
        monkeypatch.setitem(threading._limbo, thread, thread)  # type: ignore[attr-defined]
        assert thread in threading.enumerate()


def test_a_workers_spawning_is_no_leak(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack, no_leaks(None, tmp_path):
        stack.enter_context(watching(lambda: None, lambda: None))
        assert any(thread.name == SPAWNING for thread in threading.enumerate())


def test_the_check_is_for_tests_that_ask_without_the_option(project: pytest.Pytester) -> None:
    test = """
    def test_unchecked(layerstore_store):
        layerstore_store.create_rw_layer("one")

    def test_checked(layerstore_no_leaks, layerstore_store):
        layerstore_store.create_rw_layer("two")
    """
    printed = outcomes(project, test, passed=2, errors=1)
    assert "the test leaves behind: read-write layer two" in printed


WRONG = {
    "'image.tar'": "the marker layerstore takes image=... or tar=...",
    "images='x'": "the marker layerstore takes image=... or tar=...",
    "image='missing:1'": "image missing:1 does not exist",
    "image='image.tar', tar='rootfs.tar'": "is made from an image or a tar",
}


def test_a_wrong_marker_is_an_error(project: pytest.Pytester) -> None:
    tests = "import pytest\n" + "".join(
        f"@pytest.mark.layerstore({marker})\ndef test_{number}(layerstore_rootfs):\n    pass\n"
        for number, marker in enumerate(WRONG)
    )
    printed = outcomes(project, tests, errors=len(WRONG))
    for message in WRONG.values():
        assert message in printed


def test_where_there_can_be_no_store_tests_skip_with_the_reason(project: pytest.Pytester) -> None:
    test = """
    def test_it(layerstore_rootfs):
        pass
    """
    printed = outcomes(project, test, "--layerstore-driver=nonsense", skipped=1)
    assert "graph driver nonsense cannot be used" in printed


def test_without_root_tests_skip(project: pytest.Pytester) -> None:
    test = """
    import os

    def test_it(layerstore_rootfs):
        pass
    """
    project.makeconftest("import os\nos.geteuid = lambda: 1000\n")
    assert "layerstore needs root" in outcomes(project, test, skipped=1)


def test_a_run_that_does_not_use_it_does_not_import_it(project: pytest.Pytester) -> None:
    test = """
    import sys

    def test_it(pytestconfig):
        assert pytestconfig.pluginmanager.has_plugin("layerstore")
        assert not [name for name in sys.modules if name.split(".")[0] in ("layerstore", "pykka")]
    """
    outcomes(project, test, passed=1)
    shown = project.run(sys.executable, "-m", "pytest", "--markers").stdout.str()
    assert "@pytest.mark.layerstore(image=None, tar=None)" in shown
