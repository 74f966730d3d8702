"""What `tunery doctor` says of this machine and this environment."""

from tunery.schema.results.record import Count, Record


class Extra(Record):
    """An optional part of the installation."""

    name: str
    """As in `pip install 'tunery[NAME]'`."""
    adds: str
    is_installed: bool


class Fault(Record):
    """Something that is wrong, and the first thing to do about it."""

    what: str
    remedy: str
    stops_work: bool
    """Whether nothing can be trained before it is mended."""


class Health(Record):
    """This machine, as a run would find it."""

    python: str
    packages: dict[str, str]
    """What a run records, with versions."""
    platform: str
    device: str
    precision: str
    precision_reason: str
    cores: Count
    """That this process may use."""
    all_cores: Count
    threads: Count
    """That a run computes with."""
    memory_left: Count
    """Bytes that a run may take now: of the device, or of the host within the limits of this process."""
    folder: str
    """Where runs would lie, as `--out` is relative to it."""
    disk_free: Count
    disk_total: Count
    cache: str
    """Of models from the Hub."""
    cached_models: Count
    hub: str
    """`reachable`, `offline` (HF_HUB_OFFLINE is set), or why it is not."""
    packaged_model: bool
    """Whether the weights of `minilm` are installed, so that the first run needs no network."""
    extras: tuple[Extra, ...]
    faults: tuple[Fault, ...]
    """The worst first."""
