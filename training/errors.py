"""What can go wrong in training, as errors that name the thing, the rule, the value and the remedy.

```
TrainingError
├── SetupError        what was asked for cannot be trained: a setting, a size, a device
├── ShardError        a published version cannot be trained on
├── SnapshotError     a snapshot is damaged, or does not fit
└── DivergedError     the networks have gone astray: NaN, or a collapse
```
"""

from __future__ import annotations


class TrainingError(Exception):
    """Base of all errors of this package."""


class SetupError(TrainingError):
    """What was asked for cannot be trained; exit code 2."""


class ShardError(TrainingError):
    """A published version cannot be trained on; the message names the file and the remedy."""


class SnapshotError(TrainingError):
    """A snapshot is damaged, or does not fit what it is loaded into."""


class DivergedError(TrainingError):
    """Training has gone astray; the message is a diagnosis."""
