"""A device that reports once a minute, and nothing else."""

from thing import Thing  # type: ignore[import-not-found]

thing = Thing()


@thing.sensor("level", unit="cm", every=60)  # type: ignore[untyped-decorator]
def level() -> int:
    return 20


thing.run()
