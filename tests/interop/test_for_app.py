# SPDX-License-Identifier: MIT
"""W6: what `setup-config --for-app` prints is all that a program without an ssh configuration
needs. Each library logs in with it, knows the local server by the key that was printed, and runs a
command."""
import asyncio
import json
import os
import pathlib
import shutil
import subprocess

import paramiko
import pytest

import peers
from conftest import Cleanup
from peers import Sshd, hop, routes_toml

COMMAND = "printf '%s' 'from the remote'; exit 7"


@pytest.fixture(scope="module")
def world(keys):
    """A daemon with a route, and what was printed for programs."""
    c = Cleanup()
    try:
        sshd = c(Sshd(keys, "target"))
        mux = c(peers.Mux(keys, routes=routes_toml({"t": hop(sshd), "u": hop(sshd)}),
                          known_hosts=sshd.known_hosts(), start=False))
        args = ["setup-config", "--for-app", "--config", str(mux.routes_path), "-p", str(mux.port)]
        mux.text = mux.control(*args)
        mux.json = mux.control(*args, "--json")
        mux.start()
        yield mux
    finally:
        c.run()


@pytest.fixture
def app(world, tmp_path):
    """What was printed, with the line for known_hosts in a file as well."""
    app = json.loads(world.json.stdout)
    app["known_hosts"] = str(tmp_path / "known_hosts")
    (tmp_path / "known_hosts").write_text(app["known_hosts_line"] + "\n")
    return app


def test_W6_text_and_json_say_the_same(world, app):
    assert world.text.returncode == 0 and world.text.stderr == "", world.text
    assert world.json.returncode == 0 and world.json.stderr == "", world.json
    assert app["users"] == ["t", "u"] and app["host"] == "127.0.0.1" and app["port"] == world.port
    for value in ("127.0.0.1", str(app["port"]), "t, u", app["key_file"],
                  app["host_key_fingerprint"], app["host_key"], app["known_hosts_line"]):
        assert value in world.text.stdout, (value, world.text.stdout)
    shown = subprocess.run(["ssh-keygen", "-lf", str(world.ssh_dir / "ssh-mux-host-key.pub")],
                           check=True, capture_output=True, text=True).stdout
    assert app["host_key_fingerprint"] in shown
    assert os.stat(app["key_file"]).st_mode & 0o077 == 0


def test_W6_ssh_is_not_told(world):
    """It prints, and changes nothing that ssh reads."""
    assert not (world.ssh_dir / "config").exists()
    assert not (world.ssh_dir / "ssh-mux-hosts.conf").exists()


def test_W6_another_key_of_the_server_is_noticed(world, app, keys):
    """The line is worth something: paramiko refuses a server that has another key."""
    other = keys.public(keys.make("other_host")).split()[1]
    with open(app["known_hosts"], "w", encoding="ascii") as f:
        f.write(f"[127.0.0.1]:{app['port']} ssh-ed25519 {other}\n")
    client = paramiko.SSHClient()
    client.load_host_keys(app["known_hosts"])
    with pytest.raises(paramiko.BadHostKeyException):
        client.connect(app["host"], app["port"], "t", key_filename=app["key_file"],
                       allow_agent=False, look_for_keys=False, timeout=30)


def test_W6_paramiko(world, app):
    client = paramiko.SSHClient()
    client.load_host_keys(app["known_hosts"])
    client.set_missing_host_key_policy(paramiko.RejectPolicy())
    client.connect(app["host"], app["port"], "t", key_filename=app["key_file"], allow_agent=False,
                   look_for_keys=False, timeout=30)
    _, out, _ = client.exec_command(COMMAND, timeout=30)
    assert (out.read(), out.channel.recv_exit_status()) == (b"from the remote", 7)
    client.close()


def test_W6_asyncssh(world, app):
    asyncssh = pytest.importorskip("asyncssh")

    async def run():
        async with asyncssh.connect(app["host"], app["port"], username="t", config=None,
                                    client_keys=[app["key_file"]], agent_path=None,
                                    known_hosts=app["known_hosts"]) as conn:
            return await conn.run(COMMAND)

    done = asyncio.run(asyncio.wait_for(run(), 60))
    assert (done.stdout, done.exit_status) == ("from the remote", 7)


def check(argv, **kwargs):
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False,
                          stdin=subprocess.DEVNULL, **kwargs)
    assert (done.stdout, done.returncode) == ("from the remote", 7), done


def words(app):
    return [app["host"], str(app["port"]), "t", app["key_file"], app["known_hosts"],
            app["host_key"], COMMAND]


NODE = """
const fs = require("fs"), crypto = require("crypto");
const [host, port, username, key, known, line, command] = process.argv.slice(2);
const { Client } = require("ssh2");
const conn = new Client();
conn.on("ready", () => conn.exec(command, (err, stream) => {
  if (err) throw err;
  stream.on("data", d => process.stdout.write(d)).on("close", code => {
    conn.end(); process.exitCode = code; });
})).connect({ host, port: +port, username, privateKey: fs.readFileSync(key),
  hostVerifier: k => k.toString("base64") === line.split(" ")[1] });
"""


@pytest.fixture(scope="module")
def node_path(tmp_path_factory):
    """npm's ssh2 is no Debian package: its sources, and no script of theirs is run."""
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("node or npm is not installed")
    where = tmp_path_factory.mktemp("npm")
    shutil.copy(pathlib.Path(__file__).parent / "npm/package.json", where)
    done = subprocess.run(["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund",
                           "--no-package-lock"], cwd=where, capture_output=True, text=True,
                          timeout=110, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        pytest.skip(f"npm can't install ssh2: {done.stderr.strip().splitlines()[-1:]}")
    return where / "node_modules"


def test_W6_npm_ssh2(world, app, tmp_path, node_path):
    (tmp_path / "app.js").write_text(NODE)
    check(["node", str(tmp_path / "app.js"), *words(app)],
          env={**os.environ, "NODE_PATH": str(node_path)})


GO = """package main

import (
	"fmt"
	"os"

	"golang.org/x/crypto/ssh"
)

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	a := os.Args[1:]
	pem, err := os.ReadFile(a[3])
	must(err)
	signer, err := ssh.ParsePrivateKey(pem)
	must(err)
	host, _, _, _, err := ssh.ParseAuthorizedKey([]byte(a[5]))
	must(err)
	client, err := ssh.Dial("tcp", a[0]+":"+a[1], &ssh.ClientConfig{
		User: a[2], Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)},
		HostKeyCallback: ssh.FixedHostKey(host)})
	must(err)
	session, err := client.NewSession()
	must(err)
	out, err := session.Output(a[6])
	fmt.Print(string(out))
	if exit, ok := err.(*ssh.ExitError); ok {
		os.Exit(exit.ExitStatus())
	}
	must(err)
}
"""


def test_W6_go(world, app, tmp_path):
    """golang.org/x/crypto, as Debian has it."""
    if not shutil.which("go") or not os.path.isdir("/usr/share/gocode/src/golang.org/x/crypto/ssh"):
        pytest.skip("go or golang.org/x/crypto is not installed")
    (tmp_path / "app.go").write_text(GO)
    env = dict(os.environ, GOPATH="/usr/share/gocode", GO111MODULE="off", CGO_ENABLED="0",
               GOCACHE=os.environ.get("GOCACHE", "/tmp/ssh-mux-go-cache"), GOFLAGS="")
    subprocess.run(["go", "build", "-o", "app", "app.go"], cwd=tmp_path, env=env, check=True,
                   timeout=300)
    check([str(tmp_path / "app"), *words(app)])


LIBSSH = r"""
#include <libssh/libssh.h>
#include <stdio.h>
#include <stdlib.h>

static ssh_session s;

static void must(int ok)
{
	if (!ok) {
		fprintf(stderr, "%s\n", ssh_get_error(s));
		exit(99);
	}
}

int main(int argc, char **argv)
{
	unsigned port = (unsigned)atoi(argv[2]);
	ssh_channel c;
	ssh_key key;
	char buf[256];
	int n, no = 0;

	(void)argc;
	s = ssh_new();
	ssh_options_set(s, SSH_OPTIONS_PROCESS_CONFIG, &no);
	ssh_options_set(s, SSH_OPTIONS_HOST, argv[1]);
	ssh_options_set(s, SSH_OPTIONS_PORT, &port);
	ssh_options_set(s, SSH_OPTIONS_USER, argv[3]);
	ssh_options_set(s, SSH_OPTIONS_KNOWNHOSTS, argv[5]);
	must(ssh_connect(s) == SSH_OK);
	must(ssh_session_is_known_server(s) == SSH_KNOWN_HOSTS_OK);
	must(ssh_pki_import_privkey_file(argv[4], NULL, NULL, NULL, &key) == SSH_OK);
	must(ssh_userauth_publickey(s, NULL, key) == SSH_AUTH_SUCCESS);
	must((c = ssh_channel_new(s)) != NULL && ssh_channel_open_session(c) == SSH_OK);
	must(ssh_channel_request_exec(c, argv[7]) == SSH_OK);
	while ((n = ssh_channel_read(c, buf, sizeof(buf), 0)) > 0)
		fwrite(buf, 1, (size_t)n, stdout);
	ssh_channel_send_eof(c);
	n = ssh_channel_get_exit_status(c);
	ssh_channel_free(c);
	ssh_disconnect(s);
	return n;
}
"""

LIBSSH2 = r"""
#include <arpa/inet.h>
#include <libssh2.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static LIBSSH2_SESSION *s;

static void must(int ok)
{
	char *text = "";

	if (!ok) {
		libssh2_session_last_error(s, &text, NULL, 0);
		fprintf(stderr, "%s\n", text);
		exit(99);
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(argv[2])) };
	int fd = socket(AF_INET, SOCK_STREAM, 0), type, n;
	LIBSSH2_KNOWNHOSTS *known;
	LIBSSH2_CHANNEL *c;
	const char *key;
	char buf[256];
	size_t len;

	(void)argc;
	inet_pton(AF_INET, argv[1], &a.sin_addr);
	libssh2_init(0);
	s = libssh2_session_init();
	libssh2_session_method_pref(s, LIBSSH2_METHOD_HOSTKEY, "ssh-ed25519");
	must(connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0);
	must(libssh2_session_handshake(s, fd) == 0);
	known = libssh2_knownhost_init(s);
	must(libssh2_knownhost_readfile(known, argv[5], LIBSSH2_KNOWNHOST_FILE_OPENSSH) == 1);
	key = libssh2_session_hostkey(s, &len, &type);
	must(libssh2_knownhost_checkp(known, argv[1], atoi(argv[2]), key, len,
		     LIBSSH2_KNOWNHOST_TYPE_PLAIN | LIBSSH2_KNOWNHOST_KEYENC_RAW, NULL) ==
		LIBSSH2_KNOWNHOST_CHECK_MATCH);
	must(libssh2_userauth_publickey_fromfile(s, argv[3], NULL, argv[4], "") == 0);
	must((c = libssh2_channel_open_session(s)) != NULL);
	must(libssh2_channel_exec(c, argv[7]) == 0);
	while ((n = (int)libssh2_channel_read(c, buf, sizeof(buf))) > 0)
		fwrite(buf, 1, (size_t)n, stdout);
	libssh2_channel_close(c);
	libssh2_channel_wait_closed(c);
	return libssh2_channel_get_exit_status(c);
}
"""


@pytest.mark.parametrize("name, source", [("libssh", LIBSSH), ("libssh2", LIBSSH2)],
                         ids=["libssh", "libssh2"])
def test_W6_c_libraries(world, app, tmp_path, name, source):
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", name], capture_output=True,
                           text=True, check=False) if shutil.which("pkg-config") else None
    if not flags or flags.returncode or not shutil.which("cc"):
        pytest.skip(f"{name} or a compiler is not installed")
    (tmp_path / "app.c").write_text(source)
    subprocess.run(["cc", "-o", "app", "app.c", *flags.stdout.split()], cwd=tmp_path, check=True,
                   timeout=120)
    check([str(tmp_path / "app"), *words(app)], env=dict(os.environ, HOME=str(tmp_path)))


