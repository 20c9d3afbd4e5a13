# mypy: ignore-errors
"""A device that publishes what it is told."""

import gc
import os

import config
import umqtt_tls

echoed = 0


def echo(topic, text):
    global echoed
    client.publish(b"out", text)
    echoed += 1


def main():
    global client
    client = umqtt_tls.connected()
    client.set_callback(echo)
    client.subscribe(b"in")
    client.publish(b"out", "ready " + os.getenv("BENCH_TRIAL"))
    while echoed < config.ECHOES:
        client.wait_msg()
    gc.collect()
    print("heap", gc.mem_alloc())
    while True:
        client.wait_msg()
