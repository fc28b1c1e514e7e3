"""Write the faces of a store from what is declared once: `python -m tools.faces [--check]`.

From the functions in `layerstore/operations/declared` come the classes of three faces: one that
waits in the calling thread, one for asyncio, and one whose answers are futures. From the blocking
methods that are a row of many steps (`LayerStore.check`, all of `ImageStore`) comes what an event
loop does of them in a thread. Names, arguments and documentation are taken over as they stand, so
type checkers, `help()` and the reference see plain code.
"""
