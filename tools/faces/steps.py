"""What an event loop does in a thread: blocking methods that are rows of many steps, awaited."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tools.faces.reading import HERE, Argument, Operation, imports, read
from tools.faces.writing import NOTE, method, signature

_STOP = "stop"
"""The argument by which a step is ended; a task is cancelled instead."""
_TOLD = "Whoever tells `stop`, from any thread, ends it."
_CANCELLED = "A task that is cancelled ends it."


def steps() -> str:
    """Return the module of what an event loop does with a store in a thread."""
    store = HERE / "api" / "store.py"
    observing = HERE / "api" / "observing.py"
    parts = [
        _head(
            "What asyncio does in a thread: rows of many steps, as the blocking face takes them."
            "\n\n"
            "A task that is cancelled doesn't wait for them; they go on to their end, and what"
            " comes of them\nis undone where it can be.\n",
            [store, observing],
        ),
        "\nclass AsyncSteps(InThread):\n"
        '    """The steps of a store; what they call back is called in their thread."""\n',
    ]
    owner = "self.blocking"
    for path, within, name in (
        (observing, "Observing", "metrics"),
        (store, "LayerStore", "check"),
        (store, "LayerStore", "repair"),
    ):
        (op,) = (op for op in read(path, "steps", within) if op.name == name)
        parts.append(_in_thread(op, "self.in_thread", owner))
    return "\n".join(parts)


def image_steps() -> str:
    """Return the module of what an event loop does with images in a thread."""
    images = HERE / "images" / "store.py"
    pruning = HERE / "images" / "pruning.py"
    origins = HERE / "images" / "origins.py"
    flattening = HERE / "images" / "making" / "flattening.py"
    parts = [
        _head(
            "What asyncio does with images, in a thread.",
            [images, flattening, pruning, origins],
            "from layerstore.api.registry_steps import AsyncDistributing\n",
        ),
        "\nclass AsyncImageStore(AsyncDistributing):\n"
        '    """The images of a store; see ImageStore. Its steps run in a thread.\n\n'
        "    A task that is cancelled doesn't wait for them; they go on to their end, and a"
        " read-write layer\n    that comes of them is released. What is asked of registries ends"
        ' first.\n    """\n\n'
        "    __slots__ = ()\n",
    ]
    for path, within in (
        (images, "ImageStore"),
        (flattening, "Flattening"),
        (pruning, "Pruning"),
        (origins, "Making"),
    ):
        parts += _of_images(path, within)
    return "\n".join(parts)


def registry_steps() -> str:
    """Return the module of what an event loop does with images of registries in a thread."""
    distributing = HERE / "images" / "distributing.py"
    parts = [
        _head("What asyncio does with images and registries, in a thread.", [distributing]),
        "\nclass AsyncDistributing:\n"
        '    """What images have to do with registries; see ImageStore."""\n\n'
        '    __slots__ = ("_store",)\n\n'
        "    def __init__(self, store: InThread) -> None:\n        self._store = store\n",
    ]
    return "\n".join([*parts, *_of_images(distributing, "Distributing")])


def _of_images(path: Path, within: str) -> list[str]:
    run, owner = "self._store.in_thread", "self._store.blocking.images"
    return [_in_thread(op, run, owner) for op in read(path, "steps", within)]


def _head(doc: str, sources: Sequence[Path], more: str = "") -> str:
    return "\n".join(
        [
            f'"""{doc}"""\n\n{NOTE}',
            "from __future__ import annotations\n",
            imports(sources) + f"{more}from layerstore.api.store import LayerStore\n"
            "from layerstore.api.threads import InThread\n"
            "from layerstore.operations.asynchronous import AsyncRWLayer\n",
            f"if TYPE_CHECKING:\n{imports(sources, for_checkers=True)}    pass\n",
        ]
    )


def _that_stops(operation: Operation, arguments: list[Argument], run: str, owner: str) -> str:
    """Return steps that are told to stop where the task is cancelled, and end before it goes on."""
    arguments = [a for a in arguments if a.name != _STOP]
    passed = ", ".join([*(a.passed() for a in arguments), f"{_STOP}={_STOP}"])
    return method(
        operation.name,
        signature(arguments, timed=False),
        operation.returns,
        operation.doc.replace(_TOLD, _CANCELLED),
        [
            f"owner = {owner}",
            f"return await {run.replace('in_thread', 'until_stopped')}(",
            f"    lambda {_STOP}: owner.{operation.name}({passed})",
            ")",
        ],
        waits=True,
    )


def _in_thread(operation: Operation, run: str, owner: str) -> str:
    rw = "RWLayer"
    arguments = [
        Argument(a.name, f"Async{rw}" if a.annotation == rw else a.annotation, a.default, a.keyword)
        for a in operation.arguments
    ]
    if any(a.name == _STOP for a in arguments):
        return _that_stops(operation, arguments, run, owner)
    passed = [
        f"{a.name}.as_handle({rw})" if a.annotation == rw else a.passed()
        for a in operation.arguments
    ]
    step = f"owner.{operation.name}"
    call = f"lambda: {step}({', '.join(passed)})" if passed else step
    if operation.returns == rw:
        lines = [
            f"made = await {run}({call}, {rw}.release)",
            f"return made.as_handle(Async{rw})",
        ]
    else:
        lines = [f"{'' if operation.returns == 'None' else 'return '}await {run}({call})"]
    return method(
        operation.name,
        signature(arguments, timed=False),
        f"Async{rw}" if operation.returns == rw else operation.returns,
        operation.doc,
        [f"owner = {owner}", *lines],
        waits=True,
    )
