"""Starts a sketch on a simulated board, which lab.json tells where the laboratory's servers are.
A minute of sleep takes `minute_s` there, or a second."""

import json
import sys
import time

import network

with open("lab.json") as f:  # noqa: PTH123
    lab = json.load(f)


class Hurry:
    """The module `time`."""

    def __getattr__(self, name):
        return getattr(time, name)

    def sleep(self, seconds):
        time.sleep(seconds / 60 * lab.get("minute_s", 1) if seconds > 1 else seconds)


def ifconfig(self):
    return "192.0.2.10", "255.255.255.0", "192.0.2.1", lab["dns"]


sys.modules["time"] = Hurry()
if "mqtt" in lab:
    import socket

    import umqtt.simple

    class Net:
        """The module `socket`, whose DNS knows where the broker is."""

        socket = socket.socket

        @staticmethod
        def getaddrinfo(host, port):
            return socket.getaddrinfo(*lab["mqtt"][host + ":" + str(port)])

    umqtt.simple.socket = Net
else:
    network.WLAN.ifconfig = ifconfig
__import__(lab["sketch"])
