# SPDX-License-Identifier: MIT
"""The hour, and the verdict. See scripts/soak --help."""
import argparse
import os
import pathlib
import shutil
import time

from chaos.model import Verdict, check_end
from chaos.run import make, start, stop
from peers import TOP, poll
from soak import disturbers, users
from soak.model import Book, kinds
from soak.world import World

RELEASE = TOP / "build/release/ssh-mux"
ACTORS = {
    users.Calls: 2, users.Transfers: 1, users.Files: 1, users.Forwards: 1, users.Sessions: 6,
    disturbers.ClientDeaths: 1, disturbers.ServerDeaths: 1, disturbers.Reloads: 1,
    disturbers.Stalls: 1, disturbers.Locks: 1, disturbers.ClockJumps: 1,
}


def soak(world, book, actors, seconds):
    """Until the time is over; the book is compared at the end of every minute."""
    start(actors)
    end = time.monotonic() + seconds
    while world.mux.alive() and (left := end - time.monotonic()) > 0:
        time.sleep(min(60, left))
        with world.gate.alone():
            book.compare()


def run(world, verdict, seed, seconds):
    book = Book(world)
    actors = make(world, seed, ACTORS)
    soak(world, book, actors, seconds)
    stop(actors, verdict, "users and disturbers")
    verdict.add(world.mux.alive(), "the daemon lives")
    for actor in ACTORS:
        found = world.complaints.get(actor.__name__, [])
        verdict.add(not found, f"{actor.__name__}: {' '.join(actor.__doc__.split('.')[0].split())}",
                    f"{len(found)} times not: " + "; ".join(found[:5]) if found else "")
    book.verdict(verdict)
    try:
        poll(lambda: not world.mux.status()["connections"], 30, "nothing is pooled")
        poll(lambda: world.mux.fds() <= book.prices.base, 15, "descriptors as at the start")
        verdict.add(True, "nothing is left at the end")
    except AssertionError as e:
        more = kinds(world.mux.pid) - book.prices.base_kinds
        verdict.add(False, "nothing is left at the end", f"{e}; more than at the start: {more}")
    check_end(world, verdict)


def main(argv):
    parser = argparse.ArgumentParser(prog="scripts/soak", description=(
        "A daemon under the load of a working day, real peers on loopback: sessions, transfers and "
        "forwards through every door, dying clients and servers, re-exchanged keys, reloads, locks, "
        "stalls, a moving clock. Every minute what it holds is compared with what has to be there."))
    parser.add_argument("--minutes", type=float, default=60, metavar="N")
    parser.add_argument("--seed", type=int, default=1, metavar="S",
                        help="the same seed makes the same choices (default 1)")
    parser.add_argument("--binary", type=pathlib.Path, default=RELEASE, metavar="PATH",
                        help="default build/release/ssh-mux")
    args = parser.parse_args(argv)
    os.umask(0o077)
    if not args.binary.exists():
        parser.error(f"{args.binary} is not built: cmake --preset release && cmake --build --preset "
                     "release")
    directory = TOP / "build/soak"
    shutil.rmtree(directory, ignore_errors=True)
    verdict = Verdict()
    world = World(args.binary.resolve(), directory)
    try:
        run(world, verdict, args.seed, args.minutes * 60)
    finally:
        shutil.copy(world.mux.log_path, directory / "daemon.log")
        world.stop()
        for thing in world.things:
            if path := getattr(thing, "dir", None):
                shutil.rmtree(path, ignore_errors=True)
    passed, failed, skipped = verdict.counts()
    print("soak: " + ("it endures" if not failed else "BROKEN: " + "; ".join(
        rule for is_kept, rule, _ in verdict.rows if is_kept is False))
        + f"; seed {args.seed}, journal in build/soak/")
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0
