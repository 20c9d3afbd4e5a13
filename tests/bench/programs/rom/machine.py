# mypy: ignore-errors
"""What sensor.py and the agent use of a board's `machine`, and no more: a board has it in ROM."""


class Pin:
    OUT = 1

    def __init__(self, id, mode=0, value=0):
        self.value = print


class WDT:
    def __init__(self, timeout):
        self.feed = int
