# SPDX-License-Identifier: MIT
"""Phases and the verdict. See scripts/chaos --help."""
import argparse
import os
import pathlib
import random
import resource
import shutil
import sys
import threading
import time

from chaos import callers, endpoint, killers, members, model, strangers
from chaos.world import FailingMemory, World, for_preloading
from peers import TOP

ASAN = TOP / "build/asan/ssh-mux"
RELEASE = TOP / "build/release/ssh-mux"

# Class -> how many of it.
ACTORS = {
    strangers.Rubbish: 1, strangers.HalfOpen: 1, strangers.NoKey: 1,
    members.Malformed: 2, members.OpenFlood: 1, members.TinyWindows: 1, members.TinyData: 1,
    members.RekeyStorm: 1, members.KilledTransfers: 1,
    endpoint.Endpoint: 1, endpoint.Attached: 1,
    callers.Caller: 4, callers.RealCaller: 1, endpoint.Reloads: 1,
    killers.KilledServers: 1, killers.KilledCommands: 1, killers.KilledPinentries: 1,
}
WITNESSES = {callers.GoodCaller: 1, callers.StatusReader: 1}
ALLOCATION_RATES = (300, 50, 1000, 15)  # one in so many fails


class Phase:
    def __init__(self, name, binary, share, memory=False, failing=False, witnesses=True):
        self.name, self.binary, self.share = name, binary, share
        self.memory = memory  # whether the resident size is compared
        self.failing = failing  # whether allocations fail: then a session may be lost
        self.witnesses = witnesses


def phases(binary):
    asan = pathlib.Path(binary or os.environ.get("SMX_BINARY") or ASAN)
    return [
        Phase("sanitizers", asan, 0.6),
        Phase("failing allocations", for_preloading(asan), 0.2, failing=True),
        Phase("memory", RELEASE, 0.2, memory=True),
    ]


def start(actors):
    for a in actors:
        a.thread.start()


def stop(actors, verdict, label):
    for a in actors:
        a.over.set()
    slow = []
    deadline = time.monotonic() + 40
    for a in actors:
        a.thread.join(max(0.1, deadline - time.monotonic()))
        if a.thread.is_alive():
            slow.append(a.name)
    broken = [f"{a.name}\n{a.broken}" for a in actors if a.broken]
    verdict.add(not broken and not slow, f"{label} worked to the end",
                "\n".join(broken + [f"{s} does not stop" for s in slow])
                or ", ".join(f"{a.name} {a.steps}" for a in actors))


def make(world, seed, table):
    return [kind(world, seed, n) for kind, count in table.items() for n in range(count)]


def shake_memory(world, seconds):
    """Allocations fail for two seconds, then all is well for one, at a rate that changes."""
    end = time.monotonic() + seconds
    n = 0
    while time.monotonic() < end and world.mux.alive():
        world.memory.one_in(ALLOCATION_RATES[n % len(ALLOCATION_RATES)])
        n += 1
        time.sleep(min(2, max(0, end - time.monotonic())))
        world.memory.one_in(0)
        time.sleep(1)
    world.memory.one_in(0)


def wait(world, seconds):
    """Until the time is over or the daemon is gone."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and world.mux.alive():
        time.sleep(0.2)
        world.tend_echoes()


def choose(names):
    """The table of actors: all, only those named, or all but those named with a minus."""
    known = {kind.__name__: kind for kind in ACTORS}
    unknown = [n for n in names or [] if n.lstrip("-") not in known]
    if unknown:
        sys.exit(f"chaos: no such party: {', '.join(unknown)}; there are {', '.join(known)}")
    if not names:
        return ACTORS
    left_out = {known[n[1:]] for n in names if n.startswith("-")}
    chosen = {known[n] for n in names if not n.startswith("-")} or set(ACTORS) - left_out
    return {kind: count for kind, count in ACTORS.items() if kind in chosen}


def run_phase(phase, seed, seconds, directory, verdict, table, echo_max):
    print(f"== {phase.name}: {seconds:.0f} s, seed {seed}, {phase.binary}", flush=True)
    memory = FailingMemory(random.Random(seed).getrandbits(32)) if phase.failing else None
    world = World(seed, phase.binary, directory, memory)
    try:
        baseline = model.Baseline(world)
        world.start_echoes()
        hostile = make(world, seed, table)
        witnesses = [] if phase.failing else make(world, seed, WITNESSES)
        start(hostile + witnesses)
        if memory:
            shake_memory(world, seconds)
        else:
            wait(world, seconds)
        # The witnesses first: a call is not to be judged while the servers go.
        if witnesses:
            stop(witnesses, verdict, "the witnesses")
        stop(hostile, verdict, "the actors")
        # Hostile servers hang up now: what hangs in a login would have 90 s.
        world.remote.stop()
        world.jump.stop()
        verdict.add(world.mux.alive(), "the daemon lives")
        if memory:
            asked, failed = memory.counts()
            verdict.add(failed > 0, "allocations failed", f"{failed} of {asked}")
        else:
            world.tend_echoes()
            model.check_sessions(world, verdict)
            model.check_echo(world, verdict, echo_max)
            model.check_ends(world, verdict)
            for rule in ("new calls work", "status answers"):
                found = world.complaints.get(rule, [])
                verdict.add(not found, f"{rule} on sound routes meanwhile"
                            if rule == "new calls work" else f"{rule} meanwhile",
                            f"{len(found)} times not: " + "; ".join(found[:5]) if found else "")
        for e in world.echoes.values():
            e.kill()
        if world.mux.alive():
            model.check_left(world, verdict, baseline, phase.memory)
            model.check_works(world, verdict)
        for server in (world.remote, world.jump):
            rows = ", ".join(f"{p}/{t}" for p, t in sorted(set(server.all) - set(server.tried)))
            print(f"  tricks tried: {len(server.tried)} of {len(server.all)}"
                  + (f"; not: {rows}" if rows and len(rows) < 600 else ""), flush=True)
        model.check_end(world, verdict)
    finally:
        shutil.copy(world.mux.log_path, directory / "daemon.log") if hasattr(world, "mux") else None
        world.stop()
        for thing in world.things:
            if path := getattr(thing, "dir", None):
                shutil.rmtree(path, ignore_errors=True)
        if memory:
            shutil.rmtree(memory.dir, ignore_errors=True)


def quiet_threads(args):
    """paramiko's threads end by exceptions when a peer hangs up: that is what peers do here."""
    if not issubclass(args.exc_type, (OSError, EOFError)):
        print(f"  (in {args.thread.name}: {args.exc_type.__name__}: {args.exc_value})",
              file=sys.stderr, flush=True)


def main(argv):
    parser = argparse.ArgumentParser(prog="scripts/chaos", description=(
        "Hostile servers, a hostile jump host, hostile clients with and without a key, failing "
        "allocations and SIGKILLs, all at once, around one healthy session on the same pooled "
        "connection, which must not notice. Everything is on loopback."))
    parser.add_argument("--minutes", type=float, default=10, metavar="N", help="all phases together")
    parser.add_argument("--seed", type=int, default=1, metavar="S",
                        help="the same seed makes the same choices (default 1)")
    parser.add_argument("--only", metavar="PHASE", help="sanitizers, failing or memory")
    parser.add_argument("--actors", metavar="NAMES", type=lambda text: text.split(","),
                        help="only these hostile parties, or all but -NAME,-NAME")
    parser.add_argument("--echo-max", type=float, default=model.ECHO_MAX_S, metavar="S",
                        help="seconds an echo may take, without the machine's part (default 1)")
    parser.add_argument("--binary", metavar="PATH",
                        help="for the first two phases (default $SMX_BINARY or build/asan/ssh-mux)")
    parser.add_argument("--release", metavar="PATH", default=RELEASE,
                        help="for the memory phase (default build/release/ssh-mux)")
    args = parser.parse_args(argv)
    os.umask(0o077)
    threading.excepthook = quiet_threads
    import logging

    logging.getLogger("paramiko").setLevel(logging.CRITICAL + 1)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))

    verdict = model.Verdict()
    chosen = phases(args.binary)
    chosen[-1].binary = pathlib.Path(args.release)
    if args.only:
        chosen = [p for p in chosen if p.name.startswith(args.only)]
        if not chosen:
            parser.error(f"no phase {args.only}")
    total = sum(p.share for p in chosen)
    out = TOP / "build/chaos"
    for phase in chosen:
        if not phase.binary.exists():
            verdict.add(None, phase.name, f"{phase.binary} is not built")
            continue
        if not phase.memory and b"__asan_init" not in phase.binary.read_bytes():
            print(f"  ({phase.binary} is built without AddressSanitizer)")
        directory = out / f"{phase.name.split()[0]}-{args.seed}"
        shutil.rmtree(directory, ignore_errors=True)
        run_phase(phase, args.seed, args.minutes * 60 * phase.share / total, directory, verdict,
                  choose(args.actors), args.echo_max)
    passed, failed, skipped = verdict.counts()
    print("chaos: " + ("nothing broke" if not failed else "BROKEN: " + "; ".join(
        rule for is_kept, rule, _ in verdict.rows if is_kept is False))
        + f"; seed {args.seed}, journals in build/chaos/")
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0
