# mypy: ignore-errors
"""What a Thing keeps of the heap, with the surfaces of the configuration."""

import gc

import config
import micropython


def main():
    from thing import Thing

    thing = Thing(config.FILE)
    for name in config.LATER:
        __import__(name)
    gc.collect()
    print("heap", gc.mem_alloc(), len(thing.surfaces))
    micropython.qstr_info()
