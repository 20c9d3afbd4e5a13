"""Devices that are Linux computers: `uxmpp run`, its systemd unit, and the modules of MicroPython
over what the kernel has. Apps import these by their plain names: `machine`, `camera`, `dht`,
`ds18x20`, `micropython`, `onewire`."""
