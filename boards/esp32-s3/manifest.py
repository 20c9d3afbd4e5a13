# ruff: noqa: F821 - a manifest's functions are there when MicroPython's build runs it
# In ports/esp32: make BOARD=ESP32_GENERIC_S3 FROZEN_MANIFEST=(this file)
include("$(PORT_DIR)/boards/manifest.py")
include("../manifest.py", app=options.app)
