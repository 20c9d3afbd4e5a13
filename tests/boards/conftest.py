"""What the tests of boards have in common."""

import pytest


@pytest.fixture
def esptool_log(monkeypatch):
    """esptool's own log, which `uxmpp flash` silences for the rest of its process."""
    from esp_pylib.logger import EspLog
    from esptool.logger import EsptoolLogger

    monkeypatch.setattr(EspLog, "instance", EsptoolLogger())
