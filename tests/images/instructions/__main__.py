"""Write the table anew, with what a dockerd of this machine answers to the tries that are in it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.dockerd import private_dockerd
from tests.docker.api import Docker
from tests.images.instructions.dockers import Asked, Row, table, write_table

with tempfile.TemporaryDirectory(dir="/var/tmp") as place, private_dockerd(place) as daemon:
    asked = Asked(Docker(daemon), Path(place))
    write_table([Row(way, tried, asked.answer(way, tried)) for way, tried, _ in table()])
