# mypy: ignore-errors
"""What many a sketch does with umqtt.simple, the same with upstream's and with ours."""

import gc
import os

import config

way = __import__(config.WAY)

heard = []


def main():
    client = way.connected()
    topic = b"bench/" + os.getenv("BENCH_TRIAL").encode()
    gc.collect()
    connected = gc.mem_alloc()
    client.set_callback(lambda topic, msg: heard.append(msg))
    client.subscribe(topic)
    client.publish(topic, b"21.5", qos=1)
    while heard != [b"21.5"]:
        client.wait_msg()
    client.ping()
    client.wait_msg()
    gc.collect()
    print("heap", connected, gc.mem_alloc())
    client.disconnect()
