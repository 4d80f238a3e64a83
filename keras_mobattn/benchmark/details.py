"""What only one target tells of a measurement: the class that its record in the target's folder begins with."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Details:
    """A row's details. A target's own class gives `target` its name and adds fields, plain values with defaults."""

    target: str = dataclasses.field(default="", init=False)

    @classmethod
    def from_dict(cls, record):
        """Rebuild what `dataclasses.asdict` took apart, less the target's name, and JSON made lists of."""
        return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in record.items()})
