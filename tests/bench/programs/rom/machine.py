# mypy: ignore-errors
"""What the apps and the agent use of a board's `machine`, and no more: a board has it in ROM."""


class Pin:
    IN = 0
    OUT = 1

    def __init__(self, id, mode=0, value=0):
        self.value = self.on = self.off = int


class WDT:
    def __init__(self, timeout):
        self.feed = int
