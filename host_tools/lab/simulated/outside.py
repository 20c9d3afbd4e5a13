"""What simulated hardware has to do with the world outside of its board: where that writes what is
measured, and who is told what happens. Without a virtual board the working directory, and the
console; see vm/start.py for what a virtual board makes of it."""

folder = ""


def path(name):
    """Where the file `name` is that tells of the hardware."""
    return folder + name


def say(text):
    """Something happened that is to be seen outside: "pin 5: 1"."""
    print(text)
