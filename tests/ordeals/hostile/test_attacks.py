"""Every attack is applied inside the root or refused with an error of its own; nothing outside is
read or changed. Each runs with both drivers, confined and not, so that the code alone keeps it in.
"""

from __future__ import annotations

import pytest

from tests.ordeals.hostile.arena import Arena
from tests.ordeals.hostile.attack import Attack
from tests.ordeals.hostile.attacks.corpus import CORPUS

pytestmark = pytest.mark.root


@pytest.mark.sampled(6)
@pytest.mark.parametrize("attack", CORPUS, ids=lambda attack: attack.name)
def test_an_attack_is_applied_inside_the_root_or_refused(attack: Attack, arena: Arena) -> None:
    place = arena.limited(attack.limits)
    place.alone(attack)
    place.on_base(attack)
    place.mounted(attack)


def test_every_attack_has_a_name_of_its_own() -> None:
    names = [attack.name for attack in CORPUS]
    assert len(set(names)) == len(names)
