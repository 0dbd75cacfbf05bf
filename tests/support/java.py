# SPDX-License-Identifier: Apache-2.0
"""Java, and the package of it that a generated client needs: Debian's, installed by `make test-deps`."""

import shutil
from pathlib import Path

GSON = Path("/usr/share/java/gson.jar")
MISSING = [*([] if shutil.which("java") else ["java"]), *([] if GSON.exists() else ["libgoogle-gson-java"])]
