"""Render the metadata of a reference network as a cfg, like the one that users have with their `.weights` file."""

from __future__ import annotations

from typing import Any

CONVOLUTION = ("filters", "size", "stride", "groups", "dilation", "activation")
OPTIONS = {
    "maxpool": ("size", "stride"),
    "upsample": ("stride",),
    "reorg": ("stride",),
    "shortcut": ("activation",),
    "route": ("groups", "group_id"),
    "dropout": ("probability",),
    "connected": ("output", "activation"),
    "local": ("filters", "size", "stride", "pad", "activation"),
    "yolo": ("scale_x_y", "new_coords"),
    "convolutional": CONVOLUTION,
}


def cfg_text(meta: dict[str, Any]) -> str:
    """Return the cfg of a reference network."""
    size = {name: meta["net"][name] for name in ("width", "height", "channels")}
    sections = [("net", size), *((layer["type"], _options(layer)) for layer in meta["layers"])]
    return "\n\n".join("\n".join([f"[{kind}]", *(f"{k} = {v}" for k, v in o.items())]) for kind, o in sections)


def _options(layer: dict[str, Any]) -> dict[str, object]:
    options = {**layer.get("options", {}), **{name: layer[name] for name in OPTIONS.get(layer["type"], ())}}
    options |= {name: ",".join(map(str, layer[name])) for name in ("anchors", "mask") if layer.get(name)}
    if layer["type"] == "convolutional":
        options |= {"batch_normalize": int(layer["bn"])} | _padding(layer)
    if layer["type"] == "maxpool":
        options["padding"] = layer["padding_total"]
    if "from" in layer:
        # The first index is relative, the others are absolute: cfgs use both forms.
        sources = [source if source != layer["from"][0] else source - layer["index"] for source in layer["from"]]
        options["layers" if layer["type"] == "route" else "from"] = ",".join(map(str, sources))
    return options


def _padding(layer: dict[str, Any]) -> dict[str, int]:
    """Return `pad` for a padding of half the size, as in cfgs, and `padding` in pixels otherwise."""
    return {"pad": 1} if layer["pad"] == layer["size"] // 2 else {"padding": layer["pad"]}
