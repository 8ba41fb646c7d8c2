"""A nested dictionary with attribute access, frozen once a run starts.

Not yacs' CfgNode: its last release is of 2020, its freezing lets `cfg["KEY"] = value` pass, and it would be one more
requirement for these few lines.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fetal_hc.errors import ConfigError


class CfgNode(dict[str, Any]):
    """One level of the configuration tree: `cfg.MODEL.MASK_ON` equals `cfg["MODEL"]["MASK_ON"]`."""

    _frozen = False

    def __init__(self, tree: dict[str, Any] | None = None) -> None:
        super().__init__()
        for key, value in (tree or {}).items():
            super().__setitem__(key, CfgNode(value) if isinstance(value, dict) else value)

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"the configuration has no key {name!r} here; it has {sorted(self)}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "_frozen":
            super().__setattr__(name, value)
        else:
            self[name] = value

    def __setitem__(self, key: str, value: Any) -> None:
        if self._frozen:
            raise ConfigError(f"the configuration is frozen; {key} can only be set before the run, as `KEY VALUE`")
        super().__setitem__(key, value)

    def freeze(self) -> CfgNode:
        """Forbid further changes, in every level; returns the node itself."""
        for value in self.values():
            if isinstance(value, CfgNode):
                value.freeze()
        self._frozen = True
        return self

    def clone(self) -> CfgNode:
        """An unfrozen deep copy (leaves are scalars, strings and lists of them)."""
        copy = CfgNode()
        for key, value in self.items():
            copy[key] = (
                value.clone() if isinstance(value, CfgNode) else list(value) if isinstance(value, list) else value
            )
        return copy

    def __deepcopy__(self, memo: dict[int, Any]) -> CfgNode:
        return self.clone()

    def __reduce__(self) -> tuple[Any, ...]:
        # Plain dict pickling would run __setitem__ on a frozen node.
        return CfgNode, (self.to_dict(),)

    def to_dict(self) -> dict[str, Any]:
        """The same tree as plain dictionaries."""
        return {key: value.to_dict() if isinstance(value, CfgNode) else value for key, value in self.items()}

    def leaves(self, prefix: str = "") -> Iterator[tuple[str, Any]]:
        """Every (dotted key, value) pair of the tree."""
        for key, value in self.items():
            if isinstance(value, CfgNode):
                yield from value.leaves(f"{prefix}{key}.")
            else:
                yield f"{prefix}{key}", value
