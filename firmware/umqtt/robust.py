"""MQTTClient as umqtt.robust 1.0 has it: it comes back by itself, for ever."""

import time

from . import simple


class MQTTClient(simple.MQTTClient):
    """As simple.MQTTClient; a connection that is lost is made anew, with the subscriptions there
    were."""

    #: Seconds between two tries.
    DELAY = 2

    def delay(self, i):
        """Wait before try number `i`; to be replaced."""
        time.sleep(self.DELAY)

    def log(self, in_reconnect, e):
        """Take what went wrong, `in_reconnect` or before; to be replaced."""
        if self.DEBUG:
            print("mqtt reconnect:" if in_reconnect else "mqtt:", repr(e))

    def reconnect(self):
        """Connect, again and again; returns what connect() does."""
        i = 0
        while True:
            try:
                return super().connect(False)
            except OSError as e:
                self.log(True, e)
                i += 1
                self.delay(i)

    def publish(self, topic, msg, retain=False, qos=0):
        """As simple's, until it is done: at least once. A message that is large is given up when
        it has cut the line more than `max_cuts` times."""
        cuts = 0
        while True:
            try:
                return super().publish(topic, msg, retain, qos)
            except OSError as e:
                self.log(False, e)
                cuts += 1
                if cuts > self.max_cuts:
                    self._too_large(e, topic, msg)
            self.reconnect()

    def wait_msg(self):
        """As simple's."""
        while True:
            try:
                return super().wait_msg()
            except OSError as e:
                self.log(False, e)
            self.reconnect()

    def check_msg(self, attempts=2):
        """As simple's; after `attempts` that failed it returns None."""
        while attempts:
            try:
                return super().check_msg()
            except OSError as e:
                self.log(False, e)
            self.reconnect()
            attempts -= 1
        return None
