"""Switches a relay by home/pump/set, and says so in home/pump."""

import time

import network
from machine import Pin
from umqtt.robust import MQTTClient

USER = "relay"
PASSWORD = "secret"

relay = Pin(5, Pin.OUT, value=0)


def switch(topic, msg):
    relay.value(msg == b"on")
    c.publish(b"home/pump", b"on" if relay.value() else b"off", retain=True)


wlan = network.WLAN(network.STA_IF)
wlan.active(True)
wlan.connect("Attic", "not hunter2")
while not wlan.isconnected():
    time.sleep(0.1)

c = MQTTClient("pump", "mqtt.example.org", user=USER, password=PASSWORD)
c.set_callback(switch)
c.set_last_will(b"home/pump/state", b"offline", retain=True)
if not c.connect(clean_session=False):
    c.subscribe(b"home/pump/set", qos=1)
c.publish(b"home/pump/state", b"online", retain=True)
while True:
    c.wait_msg()
