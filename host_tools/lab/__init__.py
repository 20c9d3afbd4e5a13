"""Stand-ins for the outside world: servers, MicroPython runtimes and an owner, all on loopback."""
