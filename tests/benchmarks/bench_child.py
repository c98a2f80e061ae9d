"""Run a command and print its exit status, CPU seconds and peak memory in KiB as JSON.

It is a small process of its own, because the peak memory of a child includes that of its parent at the fork.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

process = subprocess.Popen(sys.argv[1:])
_, status, usage = os.wait4(process.pid, 0)
print(json.dumps([status, usage.ru_utime + usage.ru_stime, usage.ru_maxrss]))
