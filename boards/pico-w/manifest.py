# ruff: noqa: F821 - a manifest's functions are there when MicroPython's build runs it
# In ports/rp2: make BOARD=RPI_PICO_W FROZEN_MANIFEST=(this file)
include("$(PORT_DIR)/boards/RPI_PICO_W/manifest.py")
include("../manifest.py", app=options.app)
