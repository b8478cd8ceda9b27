"""Inputs in the JSON schema: which parameters each type of device has."""

from __future__ import annotations

from typing import Any

from distsim.devices import DEVICES, Setting

Schema = dict[str, Any]


def describe_devices(described: Schema) -> None:
    """The type of an input decides which parameters it has."""
    text = described["properties"]["type"]["description"]
    names = [name for device in DEVICES for name in (device.name, *device.aliases)]
    docs = [device.doc for device in DEVICES for _ in (device.name, *device.aliases)]
    described["properties"]["type"] = {"enum": names, "enumDescriptions": docs, "description": text}
    common = dict.fromkeys(described["properties"], True)
    described.pop("additionalProperties", None)
    described["allOf"] = [
        {
            "if": {"properties": {"type": {"enum": [device.name, *device.aliases]}}},
            "then": {
                "properties": {**common, **{s.name: _of_setting(s) for s in device.settings}},
                "additionalProperties": False,
                "required": [s.name for s in device.settings if s.default is None]
                + (["weight"] if device.gives == "spikes" else []),
            },
        }
        for device in DEVICES
    ]


def _of_setting(setting: Setting) -> Schema:
    default = "" if setting.default is None else f", default {str(setting.default).lower()}"
    text = f"{setting.doc} ({setting.unit}){default}" if setting.unit else f"{setting.doc}{default}"
    if setting.kind == "flag":
        return {"type": "boolean", "description": text}
    bounds = {
        key: bound
        for key, bound in (
            ("minimum", setting.at_least), ("maximum", setting.at_most), ("exclusiveMinimum", setting.above),
        )
        if bound is not None
    }  # fmt: skip
    if setting.each:
        return {"allOf": [{"$ref": "#/definitions/ParameterValue"}], "description": text}
    if setting.kind == "number":
        return {"type": "number", "description": text, **bounds}
    return {"type": "array", "items": {"type": "number", **bounds}, "description": text}
