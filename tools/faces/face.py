"""What all faces have in common: classes whose methods pass declared operations on.

Owns the shape of a face's module.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from tools.faces.reading import DECLARED, KINDS, Argument, Operation, imports
from tools.faces.writing import NOTE, method, quoted, signature


class Face:
    """How one face is written; its names stand for the declared ones."""

    prefix = ""
    waits = False
    doc = ""
    modules: tuple[str, ...] = ()
    classes: Mapping[str, tuple[str, str, str]] = MappingProxyType({})
    """For each kind: the class, its bases, its documentation."""

    def named(self, text: str) -> str:
        """Return a type with this face's classes in the place of those declared."""
        return re.sub(r"\b(Layer|RWLayer)\b", lambda found: self.prefix + found[1], text)

    def body(self, operation: Operation, call: str) -> tuple[str, list[str]] | None:
        """Return the type and the lines of what a method does; None if the face hasn't got it."""
        raise NotImplementedError

    def documentation(self, operation: Operation) -> str:
        """Return what a method says of itself."""
        return operation.doc

    def write(self, operations: list[Operation]) -> str:
        """Return the module."""
        paths = [DECLARED / f"{kind}.py" for kind in KINDS]
        aliases = "".join(
            f"from layerstore.operations.declared import {kind} as {kind}_operations\n"
            for kind in KINDS
        )
        parts = [f'"""{self.doc}"""\n\n{NOTE}', "from __future__ import annotations\n"]
        parts.append(
            "import builtins\n" + imports(paths) + aliases + "\n".join(self.modules) + "\n"
        )
        for kind in ("layer", "rwlayer", "store"):
            name, bases, doc = self.classes[kind]
            parts.append(f"\nclass {name}({bases}):\n    " + "\n    ".join(quoted(doc)) + "\n")
            if kind != "store":
                parts.append("    __slots__ = ()\n")
            parts.extend(self._methods(op for op in operations if op.kind == kind))
        return "\n".join(parts)

    def _methods(self, operations: Iterable[Operation]) -> Iterator[str]:
        for operation in operations:
            arguments = [self._given(argument) for argument in operation.arguments]
            given = ", ".join([*self._filled_in(operation), *self._passed(operation)])
            written = self.body(operation, f"{operation.kind}_operations.{operation.name}({given})")
            if written is not None:
                returns, lines = written
                timed = operation.timed and self.waits_with_timeout
                waits = self.waits and operation.request != "Reading"
                yield method(
                    operation.name,
                    signature(arguments, timed=timed),
                    self.named(returns),
                    self.documentation(operation),
                    lines,
                    waits=waits,
                )

    waits_with_timeout = True

    def _given(self, argument: Argument) -> Argument:
        return Argument(
            argument.name, self.named(argument.annotation), argument.default, argument.keyword
        )

    def _filled_in(self, operation: Operation) -> Iterator[str]:
        for annotation in operation.filled_in:
            if annotation.startswith("New["):
                yield f"self._new({self.named(annotation[4:-1])})"
            elif annotation == "Number":
                yield "self._number()"
            else:
                yield "self"

    def _passed(self, operation: Operation) -> Iterator[str]:
        for argument in operation.arguments:
            handle = argument.annotation in ("Layer", "RWLayer")
            yield f"self._mine({argument.name})" if handle else argument.passed()
