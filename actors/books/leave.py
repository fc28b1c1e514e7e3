"""Leave for callers to take references to layers, and to give them back, without an answer.

Owns how often each may be done, in deques that callers take from as they put their message into the
mailbox. So what isn't there any more, and hasn't come yet, lies in the mailbox.
"""

from __future__ import annotations

from collections import deque

from layerstore.actors.books.layer_entry import LayerEntry
from layerstore.actors.books.retained import LayersRetained, Lent

_MOST_LENT = 512
"""As many as some threads take in the time in which none gives up the interpreter's lock."""


class Leaves:
    """The leave that callers have, by layer."""

    def __init__(self, retained: LayersRetained) -> None:
        """Begin anew; what was given before is void, whoever has it before him."""
        self._retained = retained
        for given in (*retained.slack.values(), *(lent.leave for lent in retained.lent.values())):
            given.clear()
        retained.slack.clear()
        retained.lent.clear()

    def forget(self, entry: LayerEntry) -> None:
        """Strike out a layer that is gone."""
        self._retained.slack.pop(entry.chain_id, None)
        self._retained.lent.pop(entry.chain_id, None)

    # Giving back

    def give(self, entry: LayerEntry) -> None:
        """Let all references but one be given back unheard."""
        more = len(entry.held) - 1 - entry.unspent
        if more > 0:
            entry.unspent += more
            self._slack(entry).extend([True] * more)

    def take(self, entry: LayerEntry) -> bool:
        """Take back leave to give back one reference; False where it is all spent."""
        given = self._retained.slack.get(entry.chain_id)
        try:
            if given is not None:
                given.pop()
                entry.unspent -= 1
                return True
        except IndexError:
            pass
        return False

    def _slack(self, entry: LayerEntry) -> deque[bool]:
        return self._retained.slack.setdefault(entry.chain_id, deque())

    # Taking

    def lend(self, entry: LayerEntry) -> None:
        """Let more references be taken unheard than before, as somebody has found no leave.

        What is held once only is none that many want.
        """
        if len(entry.held) > 1:
            entry.lending = min(2 * entry.lending + 1, _MOST_LENT)
            self._lend(entry)

    def taken(self, entry: LayerEntry) -> None:
        """Take note that a reference has come which was taken by leave, and is held by now.

        Who took it left leave to give one back, for him or whoever is the first to.
        """
        entry.lent -= 1
        entry.unspent += 1
        if entry.unspent >= len(entry.held):  # all others gave up
            self.take(entry)
        self._lend(entry)

    def recall(self, entry: LayerEntry) -> bool:
        """Take back leave to take references; whether none is on its way."""
        lent = self._retained.lent.get(entry.chain_id)
        if lent is None:
            return True
        entry.lending = 0
        try:
            while True:
                lent.leave.pop()
                entry.lent -= 1
        except IndexError:
            return not entry.lent

    def _lend(self, entry: LayerEntry) -> None:
        more = entry.lending - entry.lent
        if more <= 0:
            return
        lent = self._retained.lent.get(entry.chain_id)
        if lent is None:
            lent = Lent(entry.metadata(), deque(), self._slack(entry))
            self._retained.lent[entry.chain_id] = lent
        entry.lent += more
        lent.leave.extend([True] * more)
