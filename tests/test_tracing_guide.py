"""docs/tracing.md: every example in it runs, in the order in which they stand."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

IMPORT = "from layerstore import LayerStore\n"
GUIDE = Path(__file__).parents[1] / "docs/tracing.md"


def test_every_example_of_the_guide_runs(root_dir: Path) -> None:
    blocks = re.findall(r"```(\w+)\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    assert {language for language, _ in blocks} == {"python", "sh", "text"}
    printed = []
    places = {"lib/layerstore": f"{root_dir}/store", "tmp": str(root_dir)}
    for language, block in blocks:
        text = re.sub("/var/(lib/layerstore|tmp)", lambda at: places[at[1]], block)
        if language == "python":
            printed.append(run([sys.executable, "-c", IMPORT + text]))
        elif language == "sh":
            shell, following = text, ""
            if "--follow" in text:
                shell, following = text.rsplit("\n", 2)[0], text.splitlines()[-1]
            printed.append(run(["sh", "-e", "-c", shell], root=f"{root_dir}/store"))
            if following:
                follow(following.split()[1:])
    everything = "\n".join(printed)
    for wanted in ("ReleaseRWLayer", "Request 1: ", "WORK P99", "0 with another outcome"):
        assert wanted in everything
    for made in ("ls.html", "ls.json", "again", "other.trace"):
        assert (root_dir / made).exists()
    assert (GUIDE.parent / "trace.png").stat().st_size < 300_000


def run(command: list[str], **settings: str) -> str:
    programs = os.path.dirname(sys.executable)
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    if "root" in settings:
        environment["LAYERSTORE_ROOT"] = settings["root"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, ""), command
    return done.stdout


def follow(words: list[str]) -> None:
    command = [sys.executable, "-m", "layerstore.command", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
