"""Run a command and print its exit status, CPU seconds and peak memory in KiB as JSON.

A process of its own, and a small one: the peak of a child counts what its parent held when it was forked.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

process = subprocess.Popen(sys.argv[1:])
_, status, usage = os.wait4(process.pid, 0)
print(json.dumps([status, usage.ru_utime + usage.ru_stime, usage.ru_maxrss]))
