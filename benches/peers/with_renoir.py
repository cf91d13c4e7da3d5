"""Renoir, by a program of its own, since it is a Rust library."""

import os
import subprocess
from pathlib import Path

from common import TEXT_WORKS, files

WORKS = TEXT_WORKS

FOLDER = Path(__file__).resolve().parent / "renoir"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", FOLDER.parent.parent.parent / "target")) / "renoir"
PROGRAM = TARGET / "release" / "peer-renoir"


def build():
    build = ["cargo", "build", "--release", "--quiet", "--manifest-path", FOLDER / "Cargo.toml", "--target-dir", TARGET]
    subprocess.run(build, check=True)


def run(work, input, output, threads):
    os.mkdir(output)
    # It reads one file with several threads, but not several files.
    one = Path(input)
    if one.is_dir():
        one = Path(str(input) + "-in-one")
        if not one.exists():
            unfinished = Path(str(one) + ".unfinished")
            with open(unfinished, "wb") as whole:
                for path in files(input):
                    whole.write(Path(path).read_bytes())
            unfinished.rename(one)
    subprocess.run([PROGRAM, work.split("-")[0], str(threads), one, f"{output}/part.txt"], check=True)
