"""A board's WiFi: joined when it is needed, switched off and on when nothing else helps."""

import asyncio

import network


class Wifi:
    """The station interface, for the network `ssid`, None as long as nobody knows one;
    `password`: None for an open one."""

    #: Seconds that joining the network may take, an address included.
    join_s = 20
    #: Seconds that the interface stays off in cycle().
    off_s = 1

    def __init__(self, ssid, password=None):
        self._wlan = network.WLAN(network.STA_IF)
        self.ssid = ssid
        self.password = password

    def ready(self):
        """Whether the network was joined, and gave an address."""
        return self._wlan.isconnected() and self._wlan.ifconfig()[0] != "0.0.0.0"

    async def up(self, thing):
        """Be on the network. Raises OSError, and from then on another one may be handed over."""
        if self.ready():
            return
        if self.ssid:
            wlan = self._wlan
            wlan.active(True)
            try:
                wlan.connect(self.ssid, self.password)
            except OSError:  # it is at it already
                pass
            for _ in range(self.join_s * 10):
                await asyncio.sleep(0.1)
                if self.ready():
                    return
        from .improv import Improv

        raise OSError(Improv(thing, self).why)

    async def cycle(self):
        """Switch it off and on: a link that is dead may look alive for ever."""
        try:
            self._wlan.disconnect()
        except OSError:  # there is nothing to leave
            pass
        self._wlan.active(False)
        await asyncio.sleep(self.off_s)
        self._wlan.active(True)
