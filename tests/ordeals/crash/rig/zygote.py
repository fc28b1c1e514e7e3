"""A process that has imported everything and forks for each try, which saves starting Python.

Reads one request a line (JSON) and answers each with a line. The fork leads a process group of its
own. `python -m tests.ordeals.crash.rig.zygote`, with the seam in LD_PRELOAD.
"""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import importlib
import json
import math
import os
import pkgutil
import sys
import traceback
from typing import Any

import layerstore.actors
import layerstore.drivers
import layerstore.engine
import layerstore.images
from tests.ordeals.crash.rig import seam
from tests.ordeals.crash.rig.forks import FORKS
from tests.ordeals.crash.rig.repair_scenarios import REPAIRS
from tests.ordeals.crash.rig.runs import AnsweredRun, FailingRun
from tests.ordeals.crash.rig.scenarios import SCENARIOS
from tests.ordeals.crash.rig.scratch import SCRATCH
from tests.ordeals.crash.rig.together import TOGETHER
from tests.ordeals.crash.rig.verify import verify

_PACKAGES = (layerstore.actors, layerstore.drivers, layerstore.engine, layerstore.images)
_TOO_LONG = 30.0
"""Seconds after which a try says where it hangs, and fails."""


def _run(request: dict[str, Any]) -> None:
    os.environ["SEAM_CONTROL"], os.environ["SEAM_ROOT"] = request["control"], request["root"]
    if "log" in request:
        os.environ["SEAM_LOG"] = request["log"]
    common = [request[key] for key in ("root", "driver", "inputs", "answers", "control", "options")]
    run = FailingRun(*common) if request["failing"] else AnsweredRun(*common)
    ctypes.CDLL(None).seam_begin()
    (SCENARIOS | REPAIRS | TOGETHER | SCRATCH | FORKS)[request["scenario"]](run)
    if isinstance(run, FailingRun):
        os.write(2, run.failed.encode())
        seam.disarm(request["control"])
        try:
            verify(request["root"], request["driver"], request["answers"])
        except AssertionError as error:
            raise AssertionError(f": afterwards: {error}") from error


def _perform(request: dict[str, Any]) -> None:
    if request["task"] == "run":
        _run(request)
    else:
        before = request["before"] or math.inf
        common = [request[key] for key in ("root", "driver", "answers")]
        verify(*common, before=before, power=request["power"])


def _child(request: dict[str, Any], told: int) -> None:
    status = 1
    try:
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDWR)
        for fd, source in ((0, nothing), (1, nothing), (2, told)):
            os.dup2(source, fd)
        faulthandler.dump_traceback_later(_TOO_LONG, exit=True, file=2)
        _perform(request)
        status = 0
    except AssertionError as error:
        if not str(error):
            traceback.print_exc()
        os.write(2, str(error).encode())
    except BaseException:  # noqa: BLE001 - the harness is told
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(status)


def main() -> None:
    """Serve requests until there are no more."""
    for package in _PACKAGES:
        # What is imported only when it is needed would be so by each fork.
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    gc.freeze()  # what is there now stays, and every fork shares it
    for line in sys.stdin:
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            _child(json.loads(line), writer)
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            told = pipe.read()  # to its end, when the last process of the group is gone
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        print(json.dumps({"status": status, "told": told.decode(errors="replace")}), flush=True)


if __name__ == "__main__":
    main()
