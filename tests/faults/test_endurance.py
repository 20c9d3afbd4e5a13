"""Connecting again and again does not use the heap up. The long form of it is in `make soak`."""

from servers.helper import PASSWORDS

from host_tools.lab.lab import Lab

from .endurance import endure


def test_heap_stays_as_it_is():
    with Lab(PASSWORDS) as lab:
        done = endure(lab, reconnects=60, messages=2000)
    assert done.messages >= 2000
    print(f"{done.drift(10)} bytes of {done.free[-1]} free come and go; {done.seconds:.0f} s")
    assert done.drift(10) <= 1024, done.free
