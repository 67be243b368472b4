"""What an index that is read from a folder may call or reach: only what the app itself has named.

A folder may come from anyone. Without this, loading one would be enough to run a function of its choice, or to send
queries, and the credentials that stand in the environment, to a server of its choice.
"""

from __future__ import annotations

import os
from pathlib import Path

from crossforge.errors import PackageError

TRUST_VARIABLE = "CROSSFORGE_TRUSTED"
_NAMED: set[str] = set()


def trust(*names: str) -> None:
    """Allow indexes that are loaded in this process to call or reach these.

    Args:
        names: functions (`package.module:function`) and addresses of engines (`https://host:9200`,
            `postgresql://host`), exactly as the refusal of an index names them.
    """
    _NAMED.update(names)


def require_trust(folder: Path, *names: str) -> None:
    """Refuse to load an index that would call or reach something that nobody here has named.

    Raises:
        PackageError: neither `trust` nor the environment variable `CROSSFORGE_TRUSTED` (names between spaces) has it.
    """
    allowed = _NAMED | set(os.environ.get(TRUST_VARIABLE, "").split())
    if wanted := [name for name in names if name not in allowed]:
        raise PackageError(
            f"{folder}: this index uses {' and '.join(wanted)}, which a folder alone cannot allow; if you trust it, "
            f"set {TRUST_VARIABLE}={' '.join(wanted)!r} or call crossforge.retrievers.trust.trust first"
        )
