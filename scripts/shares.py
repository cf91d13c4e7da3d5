"""The measurements of scripts/shares: see there."""

import json
import os
import subprocess
import sys
import time
import urllib.request

windrow, address, http, work = sys.argv[1:]
USERS = 50
WEIGHTS = {"gold": 3, "silver": 2, "bronze": 1}
SETTLE_S, MEASURE_S = 20, 60


def asked(path):
    with urllib.request.urlopen(f"http://{http}/api/v1/{path}") as answer:
        return json.load(answer)


def command(*arguments, user="nobody"):
    environment = {**os.environ, "USER": user}
    run = [windrow, *arguments]
    done = subprocess.run(run, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.strip()


def submit(number, texts, queue, user, *more):
    """Submits a word count, and gives its name."""
    output = f"{work}/counts-{number}"
    return command(
        "run", "wordcount", "--input", texts, "--output", output, "--cluster", address,
        "--queue", queue, "--detach", *more, user=user,
    )


def slot_ms(job, since, until):
    """The slot time of a job between two points in time, in milliseconds since 1970."""
    begun = asked(f"jobs/{job}")["submitted_unix_ms"]
    sum_ms, seen = 0, 0
    ends = {}
    while True:
        page = asked(f"jobs/{job}/attempts?seen={seen}")
        for at, row in enumerate(page["row"]):
            ends[row] = (page["begun_ms"][at], page["ended_ms"][at])
        seen = page["seen"]
        if not page["more"]:
            break
    for first, last in ends.values():
        last = until if last is None else min(begun + last, until)
        sum_ms += max(0, last - max(begun + first, since))
    return sum_ms


def cancel(jobs):
    for job in jobs:
        command("jobs", "cancel", job, "--cluster", address)


def wait_for(job):
    while True:
        status = asked(f"jobs/{job}")
        if status["state"] not in ("running", "waiting"):
            assert status["state"] == "succeeded", status
            return status["elapsed_ms"] / 1000
        time.sleep(0.05)


print("making the input", flush=True)
large, small = f"{work}/large", f"{work}/small"
command("generate", "words", "--bytes", "3GB", "--output", large)
command("generate", "words", "--bytes", "700MB", "--output", small)

names = list(WEIGHTS)
queues = {f"u{user}": names[user % 3] for user in range(USERS)}
jobs = {user: submit(user, large, queue, user) for user, queue in queues.items()}
print(f"{USERS} jobs of {USERS} users", flush=True)
time.sleep(SETTLE_S)
since = time.time() * 1000
time.sleep(MEASURE_S)
until = time.time() * 1000
had = {user: slot_ms(job, since, until) for user, job in jobs.items()}
cancel(jobs.values())
total = sum(had.values())
print(f"slot time in {MEASURE_S} s: {total / 1000:.1f} s")
worst = 0
for queue, weight in WEIGHTS.items():
    share = sum(ms for user, ms in had.items() if queues[user] == queue) / total
    wanted = weight / sum(WEIGHTS.values())
    worst = max(worst, abs(share / wanted - 1))
    print(f"  {queue}: {share:.1%} of the slot time; its weight says {wanted:.1%}: {share / wanted - 1:+.1%}")
for queue in WEIGHTS:
    users = sorted(ms / 1000 for user, ms in had.items() if queues[user] == queue)
    print(f"  users of {queue}: from {users[0]:.1f} to {users[-1]:.1f} s, median {users[len(users) // 2]:.1f} s")

# The user of the small job has no more than half of the slots, which is its share beside one other.
submit("first", small, "default", "small")
alone = wait_for(submit("alone", small, "default", "small"))
huge = submit("huge", large, "default", "huge")
time.sleep(10)
behind = wait_for(submit("behind", small, "default", "small"))
cancel([huge])
print(f"a small job: {alone:.1f} s alone on its share, {behind:.1f} s behind a huge one: {behind / alone:.2f} times")
sys.exit(0 if worst <= 0.05 and behind <= 2 * alone else 1)
