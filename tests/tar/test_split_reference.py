"""Our tar-split files against the reference's, line for line, and docker's reading of ours."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from layerstore.drivers.model.tree import WhiteoutFormat
from tests.tar.corpus import reference as tar_reference
from tests.tar.corpus.builder import Layer
from tests.tar.corpus.corpus import CASES, Case, Workshop
from tests.tar.corpus.reference import SOURCES, Reference, Refused
from tests.tar.corpus.verdict import judge

pytestmark = [pytest.mark.root, tar_reference.NEEDED]
_SHIPPED = sorted(Path(SOURCES, "tar/asm/testdata").glob("*.tar.gz"))
_READERS_OWN = sorted(Path(SOURCES, "archive/tar/testdata").glob("*.tar"))
_TOO_LARGE = {"gnu-sparse-big.tar", "pax-sparse-big.tar"}
"""60 GB of holes, which the reference would read byte by byte."""


def test_the_reference_ships_its_archives() -> None:
    assert len(_SHIPPED) >= 6
    assert len(_READERS_OWN) >= 30


@pytest.mark.sampled(3)
@pytest.mark.parametrize("path", _SHIPPED, ids=lambda path: path.name)
def test_shipped_archives_have_the_references_lines(
    reference: Reference, tmp_path: Path, path: Path
) -> None:
    data = gzip.decompress(path.read_bytes())
    layer = Layer(tmp_path / "layer")
    layer.apply(data)
    assert layer.records.splitlines() == reference.disassemble(data).splitlines()
    assert reference.assemble(layer.records, layer.root) == data


@pytest.mark.parametrize("path", _READERS_OWN, ids=lambda path: path.name)
def test_archives_of_the_references_reader_come_back_or_are_refused(
    reference: Reference, tmp_path: Path, path: Path
) -> None:
    data = path.read_bytes()
    if path.name in _TOO_LARGE:
        Layer(tmp_path / "layer").apply(data)
        return
    assert judge(reference, data, tmp_path / "layer")


@pytest.mark.sampled(4)
@pytest.mark.parametrize("whiteouts", [WhiteoutFormat.OVERLAY, WhiteoutFormat.REMOVE])
@pytest.mark.parametrize(
    "case",
    [pytest.param(case, id=case.name, marks=pytest.mark.needs(*case.needs)) for case in CASES],
)
def test_the_corpus_has_the_references_lines_but_where_those_would_not_do(
    reference: Reference, workshop: Workshop, case: Case, whiteouts: WhiteoutFormat
) -> None:
    data = case.make(workshop)
    assert judge(reference, data, workshop.place / "layer", whiteouts) == case.verdict


def test_the_reference_refuses_what_is_no_tar(reference: Reference) -> None:
    with pytest.raises(Refused):
        reference.disassemble(b"no tar" * 1000)
