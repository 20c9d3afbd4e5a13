# mypy: ignore-errors
"""As much of `dht` as the apps use; a board has it in ROM. It measures the trial's number."""

import os


class DHT22:
    def __init__(self, pin):
        self.measure = self.humidity = int

    def temperature(self):
        return int(os.getenv("BENCH_TRIAL"))
