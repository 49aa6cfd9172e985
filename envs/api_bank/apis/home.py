"""A smart home: scenes of devices, and timed switches. Names are kept in lower case."""

from __future__ import annotations

from typing import Any

from .base import ApiSet, refuse
from .dates import MOMENT, lenient


class Scenes(ApiSet):
    """Scenes: the devices that belong together, by the scene's name."""

    scenes: dict[str, list[dict[str, str]]]

    tables = {"scenes": "Scenes"}  # noqa: RUF012

    def AddScene(self, name: str, devices: list[dict[str, str]]) -> str:
        """Add a scene.

        Args:
            name: name of the scene.
            devices: its devices, like [{'name': 'light', 'description': 'Smart light in the kitchen'}].
        """
        name = _scene_name(name)
        normalize_devices(devices)
        if name in self.scenes:
            refuse("Scene name already exists.")
        self.scenes[name] = devices
        return "success"

    def QueryScene(self, name: str) -> list[dict[str, str]]:
        """Show the devices of a scene.

        Args:
            name: name of the scene.
        """
        name = _scene_name(name)
        if name not in self.scenes:
            refuse("Scene not found.")
        return self.scenes[name]

    def ModifyScene(self, name: str, devices: list[dict[str, str]]) -> str:
        """Give a scene other devices.

        Args:
            name: name of the scene.
            devices: its new devices, like [{'name': 'light', 'description': 'Smart light in the kitchen'}].
        """
        name = _scene_name(name)
        normalize_devices(devices)
        if name not in self.scenes:
            refuse("The scene does not exist.")
        self.scenes[name] = devices
        return "success"

    def DeleteScene(self, name: str) -> str:
        """Delete a scene.

        Args:
            name: name of the scene.
        """
        if self.scenes.pop(_scene_name(name), None) is None:
            refuse("The scene does not exist.")
        return "success"


def _scene_name(name: str) -> str:
    name = name.strip().lower()
    if name == "":
        refuse("Scene name cannot be empty.")
    return name


def normalize_devices(devices: list[Any]) -> None:
    """Lower-case names, strip, sort by name: in place, because results show the list as it is afterwards.

    Raises:
        RefusalError: a device lacks its name or description, or two have the same name.
    """
    names = set()
    for device in devices:
        if "name" not in device or "description" not in device:
            refuse("Invalid device format.")
        device["name"] = device["name"].strip().lower()
        device["description"] = device["description"].strip()
        names.add(device["name"])
    if len(names) != len(devices):
        refuse("Device name cannot be duplicated.")
    devices.sort(key=lambda device: device["name"])


class Switches(ApiSet):
    """Timed switches, by the device's name."""

    switches: dict[str, list[dict[str, Any]]]

    tables = {"switches": "TimeSwitch"}  # noqa: RUF012

    def TimedSwitch(self, name: str, time: str, on: bool) -> str:
        """Switch a device on or off at a time.

        Args:
            name: name of the device.
            time: when, as %Y-%m-%d %H:%M:%S.
            on: whether it is switched on.
        """
        name = name.strip().lower()
        if name == "":
            refuse("Name cannot be empty.")
        time = lenient(time, MOMENT)
        rows = self.switches.setdefault(name, [])
        for row in rows:
            if row["time"] == time:
                row["on"] = on
                return "success"
        rows.append({"time": time, "on": on})
        return "success"

    def CancelTimedSwitch(self, name: str, time: str) -> str:
        """Cancel a timed switch.

        Args:
            name: name of the device.
            time: for when it is set, as %Y-%m-%d %H:%M:%S.
        """
        name = name.strip().lower()
        if name == "":
            refuse("name cannot be empty.")
        time = lenient(time, MOMENT)
        if name not in self.switches:
            refuse("device name does not exist.")
        for row in self.switches[name]:
            if row["time"] == time:
                self.switches[name].remove(row)
                return "success"
        refuse("time does not exist.")
