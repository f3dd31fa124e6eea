# SPDX-License-Identifier: MIT
"""A sshd that wants a key and then a one-time code: pam_oath with a counter (HOTP), PAM's service
directory replaced by pam_wrapper, so that nothing of the system's configuration is touched.

sshd with PAM needs root: as a plain user it is started through sudo (root_helper). The counter in
the users file tells how many codes were taken, that is, how many logins there were.
"""
import glob
import secrets
import subprocess

from peers import ROOT, SSHD, USER, Daemon, Sshd, secret, secret_code
from root_helper import root


def library(name):
    for pattern in ("/usr/lib/*/", "/usr/lib64/", "/usr/lib/", "/lib/*/"):
        found = glob.glob(pattern + name)
        if found:
            return found[0]
    return None


def missing(may_ask=False):
    """Why such a sshd can't run here, or None. may_ask: sudo may ask for a password here."""
    if library("libpam_wrapper.so") is None:
        return "libpam_wrapper.so is not installed"
    if library("security/pam_oath.so") is None:
        return "pam_oath.so is not installed"
    if not ROOT and root(may_ask) is None:
        return "sshd with PAM needs root, or sudo" + ("" if may_ask else " without a password")
    return None


class OtpSshd(Sshd):
    """As Sshd; besides, code() is the next code, and used() the number of codes taken."""

    def __init__(self, keys, name="bastion", **options):
        self.secret = secret(secrets.token_hex(20))
        options.setdefault("UsePAM", "yes")
        options.setdefault("KbdInteractiveAuthentication", "yes")
        options.setdefault("AuthenticationMethods", "publickey,keyboard-interactive:pam")
        super().__init__(keys, name, **options)

    def oath(self, how="required"):
        return (f"auth {how} {library('security/pam_oath.so')} usersfile={self.users} window=20 "
                "digits=6\n")

    def auth(self):
        """The lines of PAM's service that judge."""
        return self.oath()

    def start(self):
        services = self.dir / "pam"
        services.mkdir(exist_ok=True)
        self.users = self.dir / "users.oath"
        if not self.users.exists():
            self.users.write_text(f"HOTP {USER} - {self.secret}\n")
        self.users.chmod(0o600)
        (services / "sshd").write_text(
            self.auth() + "account required pam_permit.so\nsession required pam_permit.so\n"
        )
        settings = {
            "LD_PRELOAD": library("libpam_wrapper.so"),
            "PAM_WRAPPER": "1",
            "PAM_WRAPPER_SERVICE_DIR": str(services),
        }
        argv = ["env", *(f"{k}={v}" for k, v in settings.items())]
        argv += [SSHD, "-D", "-e", "-f", self.config_path]
        if ROOT:
            self.spawn(argv)
        else:
            root().run(["mkdir", "-p", "/run/sshd"])
            self.log_file = open(self.log_path, "ab")
            self.proc = root().spawn(argv, self.log_path)
            Daemon.live.append(self)
        self.wait_port(self.port)

    def counter(self):
        """How many codes were taken: the module writes back the number of the last one."""
        if ROOT:
            text = self.users.read_text().split()
        else:
            text = root().run(["cat", self.users]).split()
        return int(text[4]) + 1 if len(text) > 4 else 0

    used = counter

    def code(self):
        """The code that is taken next."""
        code = subprocess.run(
            ["oathtool", "--hotp", f"--counter={self.counter()}", self.secret],
            capture_output=True, text=True, check=True,
        ).stdout.strip()  # fmt: skip
        return secret_code(code)

    def kill(self):
        if not ROOT and self.proc is not None:
            self.proc.kill()
            self.ended()
            return
        super().kill()


class PasswordSshd(OtpSshd):
    """A password of ours, which PAM judges; with codes=True a one-time code does as well."""

    PASSWORD = "correct horse"

    def __init__(self, keys, name="password", codes=False, **options):
        self.codes = codes
        options.setdefault("AuthenticationMethods", "password")
        options.setdefault("PasswordAuthentication", "yes")
        super().__init__(keys, name, **options)

    def auth(self):
        passwords = self.dir / "passwords"
        passwords.write_text(f"{USER}:{secret(self.PASSWORD)}:sshd\n")
        passwords.chmod(0o644)
        matrix = library("pam_wrapper/pam_matrix.so")
        return (self.oath("sufficient") if self.codes else "") + (
            f"auth required {matrix} passdb={passwords}\n"
        )


def missing_passwords():
    """Why a PasswordSshd can't run here, or None."""
    if library("pam_wrapper/pam_matrix.so") is None:
        return "pam_matrix.so is not installed"
    return missing()


def log_in(mux, target, tmp_path):
    """Route t of mux has a login at target, for which a person gave a code."""
    askpass = tmp_path / "askpass"
    askpass.write_text('#!/bin/sh\nprintf "%s\\n" "$CODE"\n')
    askpass.chmod(0o700)
    done = subprocess.run([mux.binary, "connect", "t", "true"], timeout=30, capture_output=True,
                          env=dict(mux.env, SSH_ASKPASS=str(askpass), CODE=target.code()),
                          stdin=subprocess.DEVNULL, start_new_session=True)
    assert done.returncode == 0, done
