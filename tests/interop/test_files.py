# SPDX-License-Identifier: MIT
"""File transfer programs (L9): sftp, scp in both modes, rsync, git."""
import os
import subprocess

import pytest

from conftest import size_mib


def run(argv, **kwargs):
    done = subprocess.run([str(a) for a in argv], capture_output=True, timeout=250,
                          stdin=subprocess.DEVNULL, **kwargs)
    assert done.returncode == 0, done
    return done


def sftp_roundtrip(mux, tmp_path, payload, sha256, mib):
    source, digest = payload(mib)
    far, back = tmp_path / "far", tmp_path / "back"
    batch = tmp_path / "batch"
    batch.write_text(f"put {source} {far}\nget {far} {back}\n")
    run(["sftp", "-q", "-F", mux.config_path, "-b", batch, "t@mux"])
    assert sha256(far) == digest
    assert sha256(back) == digest
    mux.wait_idle()


@pytest.mark.core
def test_L9_sftp_put_get(mux, tmp_path, payload, sha256):
    sftp_roundtrip(mux, tmp_path, payload, sha256, size_mib(32))


@pytest.mark.big
def test_L9_sftp_put_get_1gib(mux, tmp_path, payload, sha256):
    sftp_roundtrip(mux, tmp_path, payload, sha256, size_mib(1024))


@pytest.mark.core
@pytest.mark.parametrize("mode", [["-O"], ["-s"]], ids=["rcp", "sftp"])
def test_L9_scp(mux, tmp_path, payload, sha256, mode):
    source, digest = payload(size_mib(16))
    run(["scp", "-q", "-F", mux.config_path, *mode, source, f"t@mux:{tmp_path}/up"])
    run(["scp", "-q", "-F", mux.config_path, *mode, f"t@mux:{tmp_path}/up", tmp_path / "down"])
    assert sha256(tmp_path / "up") == digest == sha256(tmp_path / "down")


def test_L9_scp_recursive(mux, tmp_path):
    tree = tmp_path / "tree"
    for n in range(40):
        (tree / f"d{n % 5}").mkdir(parents=True, exist_ok=True)
        (tree / f"d{n % 5}/f{n}").write_bytes(os.urandom(n * 997))
    run(["scp", "-q", "-r", "-p", "-F", mux.config_path, tree, f"t@mux:{tmp_path}/copy"])
    run(["diff", "-r", tree, tmp_path / "copy"])


@pytest.mark.core
def test_L9_rsync(mux, tmp_path):
    tree = tmp_path / "tree"
    (tree / "a/b").mkdir(parents=True)
    for n in range(200):
        (tree / f"a/b/f{n}").write_bytes(os.urandom(n * 301))
    shell = f"ssh -F {mux.config_path}"
    run(["rsync", "-a", "-e", shell, f"{tree}/", f"t@mux:{tmp_path}/far/"])
    run(["diff", "-r", tree, tmp_path / "far"])
    (tree / "a/b/f7").write_bytes(b"changed")
    (tree / "a/b/f8").unlink()
    run(["rsync", "-a", "--delete", "-e", shell, f"{tree}/", f"t@mux:{tmp_path}/far/"])
    run(["rsync", "-a", "-e", shell, f"t@mux:{tmp_path}/far/", f"{tmp_path}/back/"])
    run(["diff", "-r", tree, tmp_path / "back"])


@pytest.mark.core
def test_L9_git_clone_push(mux, tmp_path):
    env = dict(
        os.environ,
        GIT_SSH_COMMAND=f"ssh -F {mux.config_path}",
        GIT_CONFIG_GLOBAL="/dev/null",
        GIT_CONFIG_SYSTEM="/dev/null",
        HOME=str(tmp_path),
        GIT_AUTHOR_NAME="a", GIT_AUTHOR_EMAIL="a@b", GIT_COMMITTER_NAME="a",
        GIT_COMMITTER_EMAIL="a@b",
    )  # fmt: skip
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        env.pop(name, None)

    def git(*args, cwd=tmp_path):
        return run(["git", "-c", "protocol.version=2", *args], env=env, cwd=cwd).stdout

    git("init", "-q", "--bare", "-b", "main", "far.git")
    git("init", "-q", "-b", "main", "first")
    for n in range(50):
        (tmp_path / f"first/f{n}").write_bytes(os.urandom(5000))
    git("add", ".", cwd=tmp_path / "first")
    git("commit", "-q", "-m", "one", cwd=tmp_path / "first")
    git("push", "-q", f"t@mux:{tmp_path}/far.git", "main", cwd=tmp_path / "first")
    git("clone", "-q", f"ssh://t@mux{tmp_path}/far.git", "second")
    run(["diff", "-r", "-x", ".git", tmp_path / "first", tmp_path / "second"])
    (tmp_path / "second/more").write_bytes(os.urandom(1 << 20))
    git("add", ".", cwd=tmp_path / "second")
    git("commit", "-q", "-m", "two", cwd=tmp_path / "second")
    git("push", "-q", cwd=tmp_path / "second")
    head = git("rev-parse", "HEAD", cwd=tmp_path / "second")
    assert git("--git-dir", "far.git", "rev-parse", "main") == head


def test_L9_tar_through_ssh(mux, tmp_path):
    tree = tmp_path / "tree"
    tree.mkdir()
    for n in range(100):
        (tree / f"f{n}").write_bytes(os.urandom(20000))
    run(["sh", "-c", f"tar -C {tree} -cf - . | ssh -F {mux.config_path} t@mux "
         f"'mkdir {tmp_path}/far && tar -C {tmp_path}/far -xf -'"])
    run(["diff", "-r", tree, tmp_path / "far"])


def test_L9_bulk_both_directions_at_once(mux, payload, sha256, tmp_path):
    """cat: every byte goes up and comes down on one channel."""
    source, digest = payload(size_mib(32))
    with open(source, "rb") as i, open(tmp_path / "out", "wb") as o:
        done = subprocess.run(mux.argv("t", "cat"), stdin=i, stdout=o, stderr=subprocess.PIPE,
                              timeout=100)
    assert done.returncode == 0, done
    assert sha256(tmp_path / "out") == digest
