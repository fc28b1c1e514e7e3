"""What an event loop does in a thread: blocking methods that are rows of many steps, awaited."""

from __future__ import annotations

from tools.faces.reading import HERE, Argument, Operation, imports, read
from tools.faces.writing import NOTE, method, signature


def steps() -> str:
    """Return the module of what an event loop does in a thread."""
    store = HERE / "api" / "store.py"
    images = HERE / "images" / "store.py"
    observing = HERE / "api" / "observing.py"
    parts = [
        '"""What asyncio does in a thread: rows of many steps, as the blocking face takes them.\n\n'
        "A task that is cancelled doesn't wait for them; they go on to their end, and what comes of"
        ' them\nis undone where it can be.\n"""\n\n' + NOTE,
        "from __future__ import annotations\n",
        imports([store, observing, images]) + "from layerstore.api.store import LayerStore\n"
        "from layerstore.api.threads import InThread\n"
        "from layerstore.operations.asynchronous import AsyncRWLayer\n",
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
    parts.append(
        "\nclass AsyncImageStore:\n"
        '    """The images of a store; see ImageStore. Its steps run in a thread.\n\n'
        "    A task that is cancelled doesn't wait for them; they go on to their end, and a"
        ' read-write layer\n    that comes of them is released.\n    """\n\n'
        '    __slots__ = ("_store",)\n\n'
        "    def __init__(self, store: InThread) -> None:\n        self._store = store\n"
    )
    for op in read(images, "steps", "ImageStore"):
        parts.append(_in_thread(op, "self._store.in_thread", "self._store.blocking.images"))
    return "\n".join(parts)


def _in_thread(operation: Operation, run: str, owner: str) -> str:
    rw = "RWLayer"
    arguments = [
        Argument(a.name, f"Async{rw}" if a.annotation == rw else a.annotation, a.default, a.keyword)
        for a in operation.arguments
    ]
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
