"""What speaks against an accelerator, of whatever format the file is."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Finding:
    """Something in the graph that breaks an accelerator: the operator, its output's name, and why where it is known."""

    operator: str
    tensor: str
    reason: str
