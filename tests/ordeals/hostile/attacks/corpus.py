"""Every attack of the corpus."""

from __future__ import annotations

from tests.ordeals.hostile.attacks.attributes import ATTRIBUTES
from tests.ordeals.hostile.attacks.extended import EXTENDED
from tests.ordeals.hostile.attacks.hiding import HIDING
from tests.ordeals.hostile.attacks.kinds import KINDS
from tests.ordeals.hostile.attacks.links import LINKS
from tests.ordeals.hostile.attacks.names import NAMES
from tests.ordeals.hostile.attacks.sizes import SIZES
from tests.ordeals.hostile.attacks.sparse import SPARSE

CORPUS = [*NAMES, *LINKS, *EXTENDED, *SPARSE, *ATTRIBUTES, *HIDING, *KINDS, *SIZES]
