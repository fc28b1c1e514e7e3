"""The templates of `--format`: a small part of Go's, which docker's users know.

Owns the grammar: text, `{{.Field}}`, `{{.Field.Inner}}`, `{{.}}` and `{{json .Field}}`; `\\t` and
`\\n` in the text are a tab and a new line. Everything else is refused, with what there is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from layerstore.drivers.errors import LayerStoreError
from layerstore.drivers.system.printable import escaped

_ACTION = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_FIELD = re.compile(r"\s*(json\s+)?\.((?:\w+(?:\.\w+)*)?)\s*\Z", re.ASCII)
_GRAMMAR = "what stands in {{ }} is .FIELD or json .FIELD"


class InvalidTemplate(LayerStoreError):
    """A `--format` isn't a template, or names a field that there isn't."""

    def __init__(self, template: str, reason: str) -> None:
        super().__init__(template, reason)
        self.template = template
        self.reason = reason

    def __str__(self) -> str:
        return f"invalid format {self.template!r}: {self.reason}"


class Template:
    """A parsed template, to be filled in with the fields of one thing after another."""

    def __init__(self, text: str) -> None:
        """Parse; raises InvalidTemplate."""
        self._text = text
        self._pieces: list[str | _Action] = []
        end = 0
        for action in _ACTION.finditer(text):
            self._literal(text[end : action.start()])
            field = _FIELD.match(action[1])
            if field is None:
                raise InvalidTemplate(text, f"{action[0]} is not understood: {_GRAMMAR}")
            path = tuple(field[2].split(".")) if field[2] else ()
            self._pieces.append(_Action(path, as_json=field[1] is not None))
            end = action.end()
        self._literal(text[end:])

    def _literal(self, text: str) -> None:
        if "{{" in text or "}}" in text:
            raise InvalidTemplate(self._text, "a {{ without its }}, or the other way round")
        if text:
            self._pieces.append(text.replace("\\t", "\t").replace("\\n", "\n"))

    def fill(self, fields: Mapping[str, Any], *, terminal: bool = False) -> str:
        """Return the text for one thing; for a terminal, control characters in fields are escaped.

        Raises InvalidTemplate for a field that it hasn't got.
        """
        parts = []
        for piece in self._pieces:
            if isinstance(piece, str):
                parts.append(piece)
            else:
                text = piece.text(fields, self._text)
                parts.append(escaped(text) if terminal else text)
        return "".join(parts)


class _Action:
    def __init__(self, path: tuple[str, ...], *, as_json: bool) -> None:
        self._path = path
        self._as_json = as_json

    def text(self, fields: Mapping[str, Any], template: str) -> str:
        value: Any = fields
        for depth, name in enumerate(self._path):
            if not isinstance(value, Mapping) or name not in value:
                raise InvalidTemplate(template, _missing(self._path[: depth + 1], value))
            value = value[name]
        if isinstance(value, str) and not self._as_json:
            return value
        return json.dumps(value)


def _missing(path: tuple[str, ...], owner: Any) -> str:
    name = ".".join(path)
    if not isinstance(owner, Mapping):
        return f"there is no field {name}: what it should be in has no fields"
    return f"there is no field {name}, but {', '.join(sorted(map(str, owner))) or 'none'}"
