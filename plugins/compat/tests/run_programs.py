"""Runs the programs of a folder in one process, with autopipe or diffusers.

`python run_programs.py autopipe PROGRAMS CHECKPOINT FOLDER` writes `FOLDER/NAME.npz` for each
program that ends well, and `FOLDER/NAME.txt` with the error for each other.
"""

import contextlib
import importlib
import io
import runpy
import sys
import traceback
from pathlib import Path

import torch

library, programs, checkpoint, folder = sys.argv[1:]
if library == "autopipe":
    importlib.import_module("autopipe.as_diffusers")
torch.set_num_threads(1)
for program in sorted(Path(programs).glob("*.py")):
    sys.argv = [str(program), checkpoint, str(Path(folder) / f"{program.stem}.npz")]
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            runpy.run_path(str(program), run_name="__main__")
    except BaseException:
        (Path(folder) / f"{program.stem}.txt").write_text(traceback.format_exc())
