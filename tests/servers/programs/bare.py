"""A device that can do nothing: all there is to it is its device.json."""

from thing import Thing

Thing().run()
