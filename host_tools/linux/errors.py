"""What the modules for Linux raise."""


class HardwareError(OSError):
    """Something that a board has and this computer has not, or not yet: one line that says what,
    and what to do. As an OSError, an app may meet it as it does on a board."""
