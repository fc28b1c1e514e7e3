"""Sandboxes of an ordinary user, whose keeper joins no other namespace: it could not come back."""

from __future__ import annotations

import pytest

from tests.sandbox.userns.rootless.conftest import FAR
from tests.sandbox.userns.rootless.ordinary import PROGRAM, Ordinary

pytestmark = [pytest.mark.root, pytest.mark.needs("/bin/busybox")]

SCRIPT = f"""
from layerstore import LayerStore
with LayerStore(".local/share/layerstore", durability="relaxed") as store:
    with store.sandbox({FAR!r}, env={{"PATH": "/bin"}}) as box:
        box.write_file("/f", b"1")
        done = box.exec(["sh", "-c", "id -u; cat /f; exit 3"])
        print(done.status, done.stdout, [change.path for change in box.diff()])
    print([one.name for one in store.mounts() if one.name.startswith("sandbox-")])
"""


@pytest.mark.parametrize("kind", ["own", "alone"])
def test_a_sandbox_is_one_of_an_ordinary_user_too(
    request: pytest.FixtureRequest, kind: str
) -> None:
    user: Ordinary = request.getfixturevalue(kind)
    done = user.layerstore("unshare", PROGRAM[0], "-c", SCRIPT)
    assert done.stdout == "3 b'0\\n1' ['/f']\n[]\n"
    assert done.stderr == ""
