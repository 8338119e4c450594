"""What runs inside a system's own environment: the official program, seeded, with the arguments of a JSON request.

    python -I inside.py au_bench/request.json

Started in a folder that looks like the system's repository. The request: {"script": file} or {"module": name},
"arguments": [text], "seed": int, "parent": process id, "reference", "audio", "output", "fps", "frames" (what is asked for;
the arguments say it in the program's own words). Imports nothing of this suite and runs on Python 3.6 and newer.
"""

import json
import os
import random
import runpy
import signal
import sys
import threading
import time


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        request = json.load(file)
    threading.Thread(target=end_with, args=(request["parent"],), daemon=True).start()
    seed_everything(request["seed"])
    sys.path.insert(0, os.getcwd())
    if "module" in request:
        sys.argv[:] = [request["module"]] + request["arguments"]
        runpy.run_module(request["module"], run_name="__main__", alter_sys=True)
    else:
        sys.argv[:] = [request["script"]] + request["arguments"]
        sys.path.insert(0, os.path.dirname(os.path.abspath(request["script"])))
        runpy.run_path(request["script"], run_name="__main__")


def end_with(parent):
    """End this process and all it started when the process that asked is gone, however it went."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os.killpg(0, signal.SIGKILL)


def seed_everything(seed):
    """The global generators, from which a program without a seed of its own draws."""
    random.seed(seed)
    try:
        import numpy

        numpy.random.seed(seed)
    except ImportError:
        pass
    try:
        import torch

        torch.manual_seed(seed)
    except ImportError:
        pass


if __name__ == "__main__":
    main()
