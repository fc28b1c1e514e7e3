"""The protocol: every message that travels between the front door and the actors.

Owns their shapes and words; reading this room is reading what can happen: a module for each
receiver. Requests are verbs and are asked; the replies that actors send each other are in the past
tense and are told. A message carries IDs and plain data, never a reference to somebody's books.
What the class attributes of a message say is explained in `runtime/message`. Others import messages
from here. Begin with `mounts`.
"""

from layerstore.actors.messages.images import (
    AddImage,
    FindImage,
    FindOrigin,
    ImageQuery,
    ListImages,
    ListTags,
    ReadImageConfig,
    RemoveImage,
    TagImage,
)
from layerstore.actors.messages.layers import (
    CheckDisk,
    CheckLayer,
    DropLayer,
    GetLayer,
    InspectLayer,
    MapLayers,
    ReadLayer,
    Register,
    ReleaseLayer,
    RetainLayer,
)
from layerstore.actors.messages.metadata import (
    ImageMetadata,
    LayerMetadata,
    MountMetadata,
    RemovedImage,
)
from layerstore.actors.messages.mounts import (
    CreateRWLayer,
    GetMountID,
    GetRWLayer,
    ListMounts,
    Mount,
    MountsOn,
    ReleaseRWLayer,
    Unmount,
    UnmountAll,
    WorkOnMount,
)
from layerstore.actors.messages.registries import Abandon, CloseBooks, Standing, Underway
from layerstore.actors.messages.workers import (
    Cancel,
    CutOff,
    Died,
    DoneJob,
    Drain,
    Finished,
    JobTally,
    PoolFacts,
    PoolStatus,
    Restore,
    Run,
    Submit,
    Sweep,
    WarmUp,
)
from layerstore.actors.runtime.message import Done, Message

__all__ = [
    "Abandon",
    "AddImage",
    "Cancel",
    "CheckDisk",
    "CheckLayer",
    "CloseBooks",
    "CreateRWLayer",
    "CutOff",
    "Died",
    "Done",
    "DoneJob",
    "Drain",
    "DropLayer",
    "FindImage",
    "FindOrigin",
    "Finished",
    "GetLayer",
    "GetMountID",
    "GetRWLayer",
    "ImageMetadata",
    "ImageQuery",
    "InspectLayer",
    "JobTally",
    "LayerMetadata",
    "ListImages",
    "ListMounts",
    "ListTags",
    "MapLayers",
    "Message",
    "Mount",
    "MountMetadata",
    "MountsOn",
    "PoolFacts",
    "PoolStatus",
    "ReadImageConfig",
    "ReadLayer",
    "Register",
    "ReleaseLayer",
    "ReleaseRWLayer",
    "RemoveImage",
    "RemovedImage",
    "Restore",
    "RetainLayer",
    "Run",
    "Standing",
    "Submit",
    "Sweep",
    "TagImage",
    "Underway",
    "Unmount",
    "UnmountAll",
    "WarmUp",
    "WorkOnMount",
]
