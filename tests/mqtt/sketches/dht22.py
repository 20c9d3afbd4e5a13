"""Publishes temperature and humidity each minute."""

import time

import network
from dht import DHT22
from machine import Pin
from umqtt.robust import MQTTClient

wlan = network.WLAN(network.STA_IF)
wlan.active(True)
wlan.connect("Attic", "not hunter2")
while not wlan.isconnected():
    time.sleep(0.1)

sensor = DHT22(Pin(4))
client = MQTTClient("dht22", "mqtt.example.org", user="attic", password="secret", keepalive=120)
client.connect()
while True:
    sensor.measure()
    client.publish(b"home/attic/temperature", str(sensor.temperature()), retain=True)
    client.publish(b"home/attic/humidity", str(sensor.humidity()), retain=True)
    time.sleep(60)
