"""Reading what is declared: functions and methods as their names, arguments and documentation.

Owns which arguments are the caller's and which a face fills in.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parents[2] / "layerstore"
DECLARED = HERE / "operations" / "declared"
KINDS = ("store", "layer", "rwlayer")
_FILLED_IN = ("New[", "Number")


@dataclass(frozen=True)
class Argument:
    """One argument of the caller's, as text."""

    name: str
    annotation: str
    default: str | None
    keyword: bool

    def declared(self) -> str:
        """Return it as a signature has it."""
        return f"{self.name}: {self.annotation}" + (f" = {self.default}" if self.default else "")

    def passed(self) -> str:
        """Return it as a call has it."""
        return f"{self.name}={self.name}" if self.keyword else self.name


@dataclass(frozen=True)
class Operation:
    """One function or method that faces are made of."""

    kind: str
    name: str
    filled_in: tuple[str, ...]
    """Annotations of what the face passes before the caller's arguments."""
    arguments: tuple[Argument, ...]
    returns: str
    doc: str
    timed: bool

    @property
    def core(self) -> str:
        """Where a face has the actors: a store may get others, a reference is lost with them."""
        return "self.core" if self.kind == "store" else "self._core"

    @property
    def request(self) -> str:
        """`Request`, `HandIn` or `Reading`."""
        return self.returns.partition("[")[0]

    @property
    def answer(self) -> str:
        """Type of the answer."""
        return self.returns.partition("[")[2][:-1] if "[" in self.returns else ""


def read(path: Path, kind: str, within: str | None = None) -> Iterator[Operation]:
    """Read the public functions of a module, or the public methods of a class in it."""
    body = ast.parse(path.read_text()).body
    if within is not None:
        (body,) = (n.body for n in body if isinstance(n, ast.ClassDef) and n.name == within)
    for node in body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            if any(_text(mark) == "abstractmethod" for mark in node.decorator_list):
                continue
            yield _operation(node, kind)


def _operation(node: ast.FunctionDef, kind: str) -> Operation:
    listed = [*node.args.posonlyargs, *node.args.args]
    defaults: list[ast.expr | None] = [None] * (len(listed) - len(node.args.defaults))
    pairs = list(zip(listed, [*defaults, *node.args.defaults], strict=True))
    first = 0
    for argument, _ in pairs:
        mine = argument.annotation is None or _text(argument.annotation).startswith(_FILLED_IN)
        if not mine and not (kind != "store" and first == 0):
            break
        first += 1
    given = [_argument(*pair, keyword=False) for pair in pairs[first:]]
    given += [
        _argument(argument, default, keyword=True)
        for argument, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
    ]
    return Operation(
        kind=kind,
        name=node.name,
        filled_in=tuple(_text(argument.annotation) for argument, _ in pairs[:first]),
        arguments=tuple(given),
        returns=_text(node.returns),
        doc=ast.get_docstring(node, clean=True) or "",
        timed=any(_text(mark) == "timed" for mark in node.decorator_list),
    )


def _argument(argument: ast.arg, default: ast.expr | None, *, keyword: bool) -> Argument:
    value = ast.unparse(default).replace("'", '"') if default is not None else None
    return Argument(argument.arg, _text(argument.annotation), value, keyword)


def _text(node: ast.expr | None) -> str:
    return ast.unparse(node).replace("'", '"') if node is not None else ""


def imports(paths: Iterable[Path], *, for_checkers: bool = False) -> str:
    """Return the imports of modules as they stand; what isn't needed of them is taken out later.

    With `for_checkers` those that type checkers alone see, indented; else the others.
    """
    found = [
        ast.unparse(node)
        for path in paths
        for node in _imported(ast.parse(path.read_text()).body, for_checkers=for_checkers)
        if isinstance(node, ast.ImportFrom | ast.Import)
        and "declared" not in ast.unparse(node)
        and "__future__" not in ast.unparse(node)
    ]
    lines = dict.fromkeys(found)
    return "".join(f"{'    ' if for_checkers else ''}{line}\n" for line in lines)


def _imported(statements: Iterable[ast.stmt], *, for_checkers: bool) -> Iterator[ast.stmt]:
    """Give a module's statements, or those that type checkers alone see."""
    for statement in statements:
        checked = isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING"
        if checked and for_checkers:
            yield from statement.body  # type: ignore[attr-defined]
        elif not checked and not for_checkers:
            yield statement
