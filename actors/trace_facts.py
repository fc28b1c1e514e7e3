"""What a trace takes down of public requests and their answers, so that they can be replayed.

Owns the list of fields: names, IDs and reference numbers as plain data. Never contents: no tar, no
descriptor's JSON, no image configuration. What is not listed is not taken down.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from layerstore.actors import check_messages as cm
from layerstore.actors import image_messages as im
from layerstore.actors import messages as m

_MAX_TEXT = 1000
_MAX_ITEMS = 1000

_FIELDS: dict[type[object], tuple[str, ...]] = {
    m.Register: ("reference", "parent"),
    m.GetLayer: ("reference", "chain_id"),
    m.ReleaseLayer: ("reference", "chain_id"),
    m.MapLayers: (),
    m.ReadLayer: ("reference", "chain_id", "against", "whole"),
    m.InspectLayer: ("reference", "chain_id"),
    m.Abandon: ("reference",),
    m.CreateRWLayer: ("reference", "name", "parent", "mount_label", "storage_opt"),
    m.GetRWLayer: ("reference", "name"),
    m.ReleaseRWLayer: ("reference", "name"),
    m.GetMountID: ("name",),
    m.ListMounts: (),
    m.Mount: ("reference", "name", "mount_label"),
    m.Unmount: ("reference", "name"),
    m.WorkOnMount: ("reference", "request", "name", "what"),
    m.Drain: (),
    cm.CheckLayer: ("chain_id",),
    im.AddImage: ("names", "parent"),
    im.ListImages: (),
    im.TagImage: ("name", "repository"),
    im.RemoveImage: ("force", "used_by", "nameless"),
    im.ReadImageConfig: ("image_id",),
}
_NOTHING: Mapping[str, Any] = {}


def request_facts(message: object) -> Mapping[str, Any]:
    """Return what a replay needs of a request; nothing for other messages."""
    fields = _FIELDS.get(type(message))
    facts = {name: _plain(getattr(message, name)) for name in fields or ()}
    match message:
        case m.CreateRWLayer():
            facts["init"] = message.init is not None
        case im.AddImage():
            facts["image_id"] = message.facts.image_id
            facts["diff_ids"] = _plain(message.facts.diff_ids)
        case im.FindImage() | im.TagImage() | im.RemoveImage():
            query = message.query
            facts |= {"asked": _plain(query.asked), "digits": query.digits}
            facts["query_name"] = _plain(query.name)
    return facts or _NOTHING


def answer_facts(value: object) -> Mapping[str, Any]:
    """Return the IDs that an answer brought, by which later requests name things."""
    match value:
        case m.LayerMetadata():
            return {"chain_id": value.chain_id, "diff_id": value.diff_id}
        case m.MountMetadata():
            return {"mount_id": value.mount_id}
        case im.ImageMetadata():
            return {"image_id": value.facts.image_id}
    return _NOTHING


def _plain(value: Any) -> Any:
    """Return the value as plain data, texts and collections cut to a bounded size."""
    if isinstance(value, str):
        return str(value)[:_MAX_TEXT]
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, Mapping):
        pairs = list(value.items())[:_MAX_ITEMS]
        return {str(key)[:_MAX_TEXT]: _plain(item) for key, item in pairs}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value[:_MAX_ITEMS]]
    return repr(value)[:_MAX_TEXT]
