"""Sees what is published to topics, and publishes: a line of JSON on its output for each message,
[topic, text], and one on its input for each that it is to publish, the arguments of publish()."""

import json
import select
import sys

from umqtt.simple import MQTTClient

with open(sys.argv[1]) as f:  # noqa: PTH123
    told = json.load(f)


def say(*what):
    print(json.dumps(what), flush=True)


client = MQTTClient(*told["client"])
client.people = told["people"]
client.set_callback(lambda topic, msg: say(topic.decode(), msg.decode()))
client.connect()
for topic in told["topics"]:
    client.subscribe(topic, 1)
say("subscribed")
while True:
    client.check_msg()
    if select.select([sys.stdin], [], [], 0.02)[0]:
        line = sys.stdin.readline()
        if not line:
            break
        client.publish(*json.loads(line))
        say("published")
client.disconnect()
