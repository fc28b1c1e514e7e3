"""Generated tars are given back to the bit, or refused with the place where they are wrong."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from layerstore.drivers.errors import InvalidTar, LimitExceeded
from layerstore.drivers.model.tree import WhiteoutFormat
from tests.tar.corpus import reference as tar_reference
from tests.tar.corpus.builder import Layer, directory, file, symlink, tar
from tests.tar.corpus.generated import tars
from tests.tar.corpus.reference import Reference
from tests.tar.corpus.verdict import check_refusal, judge

pytestmark = [pytest.mark.root, pytest.mark.timeout(1800)]
FORMATS = st.sampled_from(list(WhiteoutFormat))
PARENT = tar(
    directory("d/"),
    file("d/a", b"parent"),
    file("b", b"parent"),
    symlink("l", "/d"),
    file("e", b""),
)


@given(data=tars(), whiteouts=FORMATS)
@tar_reference.NEEDED
def test_lines_are_the_references_but_where_those_would_not_do(
    reference: Reference, tmp_path: Path, data: bytes, whiteouts: WhiteoutFormat
) -> None:
    with tempfile.TemporaryDirectory(dir=tmp_path) as place:
        event(judge(reference, data, Path(place, "layer"), whiteouts))


@given(data=tars(), whiteouts=FORMATS)
def test_a_tar_on_a_parent_comes_back_or_is_refused(
    tmp_path: Path, data: bytes, whiteouts: WhiteoutFormat
) -> None:
    with tempfile.TemporaryDirectory(dir=tmp_path) as place:
        base = Layer(Path(place, "base"), whiteouts)
        base.apply(PARENT)
        layer = base
        if whiteouts is not WhiteoutFormat.REMOVE:
            layer = Layer(Path(place, "layer"), whiteouts, base)
        try:
            layer.apply(data)
        except (InvalidTar, LimitExceeded) as error:
            check_refusal(error, data)
            event(type(error).__name__)
        else:
            event("comes back")
