"""The shell: tr, sort and uniq, and awk."""

import os
import subprocess

from common import TEXT_WORKS, Took, files

WORKS = TEXT_WORKS

SCRIPTS = {
    "wordcount": """cat $FILES | tr -s ' ' '\\n' | sort --parallel=$THREADS -S 8G | uniq -c | awk '{print $2 "\\t" $1}'""",
    "distinct": "sort -u --parallel=$THREADS -S 8G $FILES",
    "measurements": """cat $FILES | awk -F ';' '
        {
            tenths = int($2 * 10 + ($2 < 0 ? -0.5 : 0.5)); n = number[$1]++; total[$1] += tenths
            if (!n || tenths < least[$1]) least[$1] = tenths
            if (!n || tenths > greatest[$1]) greatest[$1] = tenths
        }
        END {
            for (s in number) {
                mean = (2 * total[s] + number[s]) / (2 * number[s]); floor = int(mean); if (floor > mean) floor--
                printf "%s;%.1f;%.1f;%.1f\\n", s, least[s] / 10, floor / 10, greatest[s] / 10
            }
        }' | sort""",
}


def run(work, input, output, threads):
    os.mkdir(output)
    environment = {**os.environ, "LC_ALL": "C", "THREADS": str(threads), "FILES": " ".join(files(input))}
    script = f"set -o pipefail; {SCRIPTS[work.split('-')[0]]} > {output}/part.txt"
    with Took():
        subprocess.run(["bash", "-c", script], env=environment, check=True)
