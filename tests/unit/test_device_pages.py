"""Inputs are in the reference: every type, every parameter, and the command that prints them."""

from __future__ import annotations

import pytest

from distsim.cli import main
from distsim.devices import DEVICES, Device
from distsim.devices_page import device_pages


def test_every_parameter_stands_in_the_section() -> None:
    text = device_pages()
    for device in DEVICES:
        page = text.partition(f"### Input `{device.name}`\n")[2].partition("\n### ")[0]
        assert device.doc in page
        for setting in device.settings:
            (row,) = [line for line in page.splitlines() if line.startswith(f"| `{setting.name}` |")]
            assert setting.doc in row and ("required" in row) == (setting.default is None), row


@pytest.mark.parametrize("device", DEVICES, ids=lambda d: d.name)
def test_the_command_prints_it(device: Device, capsys: pytest.CaptureFixture[str]) -> None:
    for name in (device.name, *device.aliases):
        assert main(["models", name]) == 0
        printed = capsys.readouterr().out
        assert f"# Input `{device.name}`" in printed and all(f"`{s.name}`" in printed for s in device.settings)
