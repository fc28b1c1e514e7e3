"""Every archive of the corpus is given back to the bit, on every kind of tree."""

from __future__ import annotations

from pathlib import Path

import pytest

from layerstore import InvalidTar, LayerStore
from layerstore.drivers.model.tree import WhiteoutFormat
from tests.tar.corpus.builder import Layer, directory, file, symlink, tar
from tests.tar.corpus.corpus import CASES, NEITHER, PROGRAMS, THEIRS, Case, Workshop
from tests.tar.corpus.verdict import check_refusal

pytestmark = pytest.mark.root
REFUSED = (NEITHER, THEIRS)
BASE = tar(
    directory("d/", mode=0o700),
    file("d/f", b"of the parent"),
    file("sub", b"a file where a directory comes"),
    directory("f/"),
    file("f/inside", b"1"),
    symlink("s", "/d"),
    symlink("e", "d"),
    file("x", b"to be hidden"),
)


def parametrized() -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        "case",
        [pytest.param(case, id=case.name, marks=pytest.mark.needs(*case.needs)) for case in CASES],
    )


@pytest.mark.sampled(3)
@parametrized()
@pytest.mark.parametrize("whiteouts", list(WhiteoutFormat))
@pytest.mark.parametrize("on_parent", [False, True])
def test_a_tar_comes_back_to_the_bit_or_is_refused_where_it_is_wrong(
    workshop: Workshop, case: Case, whiteouts: WhiteoutFormat, on_parent: bool
) -> None:
    data = case.make(workshop)
    layer = _layer(workshop.place, whiteouts, on_parent=on_parent)
    if case.verdict not in REFUSED:
        layer.apply(data)
        return
    with pytest.raises(InvalidTar) as caught:
        layer.apply(data)
    check_refusal(caught.value, data)


def _layer(place: Path, whiteouts: WhiteoutFormat, *, on_parent: bool) -> Layer:
    if not on_parent:
        return Layer(place / "layer", whiteouts)
    base = Layer(place / "base", whiteouts)
    base.apply(BASE)
    if whiteouts is WhiteoutFormat.REMOVE:
        return base
    return Layer(place / "layer", whiteouts, base)


@pytest.mark.needs(*PROGRAMS)
@pytest.mark.sampled(2)
@pytest.mark.parametrize("on_parent", [False, True])
def test_a_store_streams_back_what_it_registered(
    store: LayerStore, tmp_path: Path, request: pytest.FixtureRequest, on_parent: bool
) -> None:
    reference = request.getfixturevalue("reference")
    parent = store.register(BASE).chain_id if on_parent else None
    taken = 0
    for number, case in enumerate(CASES):
        place = tmp_path / str(number)
        place.mkdir()
        data = case.make(Workshop(place, reference))
        if case.verdict in REFUSED:
            with pytest.raises(InvalidTar) as caught:
                store.register(data, parent)
            assert 0 <= caught.value.offset <= len(data)
            continue
        layer = store.register(data, parent)
        with layer.tar_stream() as stream:
            assert stream.read() == data, case.name
        taken += 1
    assert taken > 70
