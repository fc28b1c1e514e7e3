"""Doing something as somebody in a user namespace."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable

from layerstore.drivers.system.syscalls import syscall
from layerstore.drivers.userns.id_map import IdMap
from layerstore.drivers.userns.idmapped import user_namespace

_SETNS = {"x86_64": 308, "aarch64": 268}


def as_inside(
    id_map: IdMap | None, directory: str, step: Callable[[], None], *, user: int = 0
) -> None:
    """Take a step in a child as a user, and its group, of a namespace; without a map, of ours.

    It begins in a directory that this user needn't have a way to.
    """
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.chdir(directory)
            if id_map is not None:
                with user_namespace(id_map) as namespace:
                    syscall(_SETNS[os.uname().machine], None, namespace, 0)
            os.setgroups(())
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
            step()
            status = 0
        except BaseException:  # noqa: BLE001 - told by the exit status
            traceback.print_exc()
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
