"""Every attack of the corpus."""

from __future__ import annotations

from tests.hostile.attributes import ATTRIBUTES
from tests.hostile.extended import EXTENDED
from tests.hostile.hiding import HIDING
from tests.hostile.kinds import KINDS
from tests.hostile.links import LINKS
from tests.hostile.names import NAMES
from tests.hostile.sizes import SIZES
from tests.hostile.sparse import SPARSE

CORPUS = [*NAMES, *LINKS, *EXTENDED, *SPARSE, *ATTRIBUTES, *HIDING, *KINDS, *SIZES]
