"""Publishes the battery's voltage; sleeps for as many minutes as home/mailbox/interval says."""

import time

import machine
import network
from umqtt.simple import MQTTClient

rtc = machine.RTC()  # its memory survives the sleep


def told(topic, msg):
    rtc.memory(msg)


wlan = network.WLAN(network.STA_IF)
wlan.active(True)
wlan.connect("Attic", "not hunter2")
while not wlan.isconnected():
    time.sleep(0.1)

client = MQTTClient("mailbox", "mqtt.example.org", user="mailbox", password="secret")
client.set_callback(told)
if not client.connect(clean_session=False):
    client.subscribe(b"home/mailbox/interval", qos=1)
volts = machine.ADC(machine.Pin(35)).read_uv() / 1000000
client.publish(b"home/mailbox/battery", f"{volts:.2f}", retain=True, qos=1)
for _ in range(10):  # what was published while it slept
    client.check_msg()
    time.sleep(0.05)
client.disconnect()
machine.deepsleep(int(rtc.memory() or 15) * 60000)
